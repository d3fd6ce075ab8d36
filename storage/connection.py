"""From an address to a client of its object store, one that gives up on a store that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..schema.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["connect"]

# Seconds to connect, and to wait for the next bytes of an answer.
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10, 30
# How often one request is sent; pauses of minutes are for `RetryPolicy`.
_ATTEMPTS = 3


def connect(address: str) -> tuple[AbstractFileSystem, str]:
    """Return a client and the folder's path in the store.

    Args:
        address: an fsspec address such as `s3://bucket/prefix`. Settings of fsspec's own configuration win over the
            timeouts here.

    Raises:
        UsageError: fsspec does not know the protocol.
        MissingDependencyError: the protocol's package is not installed.
    """
    import fsspec

    protocol = address.partition("://")[0]
    try:
        filesystem, root = fsspec.core.url_to_fs(address, **_options(protocol))
    except ImportError as error:
        extra = {"s3": ("s3fs", "s3")}.get(protocol)
        if extra is None:
            raise UsageError(f"{address}: {error}") from error
        raise MissingDependencyError(extra[0], f"an address {protocol}://", extra[1]) from error
    except ValueError as error:
        raise UsageError(
            f"{address}: {error}; use a local path or an fsspec address such as s3://bucket/folder"
        ) from error
    if protocol == "s3":
        filesystem.retries = _ATTEMPTS
    return filesystem, str(root).rstrip("/")


def _options(protocol: str) -> dict[str, Any]:
    if protocol != "s3":
        return {}
    from fsspec.config import conf

    # The client's own retries are off: each would wait for the timeouts again.
    ours = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": _READ_TIMEOUT,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
    }
    return {"config_kwargs": ours | conf.get("s3", {}).get("config_kwargs", {})}
