"""From an address to its folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..schema.errors import InputError, OutputError
from .base import Folder
from .local import LocalFolder
from .outage import one_line, outage
from .remote import RemoteFolder

__all__ = ["check_readable", "check_writable", "is_remote", "open_folder", "user_cache"]

_PROBE = bytes(4096)  # a full disk takes an empty file


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Tell whether an address is an fsspec one (`s3://...`) rather than a local path."""
    text = os.fspath(address)
    return "://" in text and not text.startswith("file://")


def open_folder(address: str | os.PathLike[str]) -> Folder:
    """Return the folder at a local path or an fsspec address.

    Raises:
        UsageError: fsspec knows no such protocol.
        MissingDependencyError: the protocol's package is not installed.
    """
    text = os.fspath(address)
    if is_remote(text):
        return RemoteFolder(text)
    return LocalFolder(text.removeprefix("file://"))


def user_cache(name: str) -> Path:
    """Return a folder of this package in the user's cache, $XDG_CACHE_HOME or ~/.cache; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "phi3v-data" / name


def check_readable(folder: Folder) -> None:
    """Make sure a folder is there and can be listed.

    Raises:
        InputError: it is missing, not a folder, or not readable.
    """
    try:
        folder.list()
    except FileNotFoundError:
        raise InputError(f"{folder.address}: no such folder") from None
    except NotADirectoryError:
        raise InputError(f"{folder.address}: a file; a folder was expected") from None
    except PermissionError:
        raise InputError(f"{folder.address}: permission denied; make it readable") from None
    except Exception as error:
        # Clients of stores raise errors of their own where the store cannot be reached.
        if (reason := outage(error)) is not None:
            raise InputError(f"{folder.address}: cannot be listed: {reason}; fix that and rerun") from error
        if not isinstance(error, OSError):
            raise
        raise InputError(f"{folder.address}: cannot be listed ({one_line(error)})") from error


def check_writable(folder: Folder) -> None:
    """Make sure, before any work is done, that a folder is there or can be made, and takes files; nothing stays in it.

    Raises:
        OutputError: it is a file or lies below one, or a permission, the disk or the store is in the way.
    """
    try:
        if isinstance(folder, LocalFolder):
            nearest = next(place for place in (folder.path, *folder.path.absolute().parents) if os.path.lexists(place))
            with tempfile.TemporaryFile(dir=nearest) as stream:
                stream.write(_PROBE)
        else:
            folder.write("probe", _PROBE)
            folder.delete("probe")
    except NotADirectoryError:
        raise OutputError(f"{folder.address}: is or lies below a file; choose another --out") from None
    except Exception as error:
        if not isinstance(error, OSError) and outage(error) is None:
            raise
        reason = getattr(error, "strerror", None) or outage(error) or one_line(error)
        raise OutputError(
            f"{folder.address}: cannot be written ({reason}); fix that, or choose another --out"
        ) from error
