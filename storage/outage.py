"""Which errors come from the machine (its disk, its memory, the network) rather than from the data that was read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

__all__ = ["is_transient", "one_line", "outage"]

# Errors that no data causes.
_MACHINE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOMEM: "out of memory",
    errno.EIO: "the disk reports an input/output error",
    errno.ESTALE: "the network file system is gone",
    errno.EBUSY: "the store is busy",
    errno.EREMOTEIO: "the store reports an internal error",
}
# How clients report "not now" (s3fs: status 500 and 503, and codes it does not know).
_TRANSIENT = {errno.EBUSY, errno.EREMOTEIO, errno.EIO}
# Packages whose own exceptions mean that a store cannot be reached.
_NETWORK = ("aiohttp", "asyncio", "botocore", "fsspec", "httpx", "requests", "urllib3")


def outage(error: BaseException) -> str | None:
    """Return in one line what is wrong with the machine or the network; None where the data is the cause."""
    for cause in _chain(error):
        if isinstance(cause, MemoryError):
            return f"out of memory ({one_line(cause) or 'MemoryError'}); use fewer --workers"
        if _is_connection(cause):
            return f"the connection failed ({type(cause).__name__}: {one_line(cause)})"
        if isinstance(cause, OSError) and cause.errno in _MACHINE:
            return f"{_MACHINE[cause.errno]} ({one_line(cause)})"
    return None


def is_transient(error: BaseException) -> bool:
    """Tell whether an error comes from a connection or a busy store, so that another attempt may succeed."""
    chain = list(_chain(error))
    busy = any(isinstance(cause, OSError) and cause.errno in _TRANSIENT for cause in chain)
    return busy or any(map(_is_connection, chain))


def one_line(error: BaseException) -> str:
    """Return an error's message on one line; of a system error, its text and its file."""
    if isinstance(error, OSError) and error.strerror:
        name = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
        return " ".join(f"{error.strerror}{name}".split())
    return " ".join(str(error).split())


def _is_connection(error: BaseException) -> bool:
    # A store that answered (no such object, no permission) was reached.
    if getattr(error, "response", None) is not None:
        return False
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in _NETWORK


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
