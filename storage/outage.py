"""Errors of the machine (its disk, its memory, the network) rather than of the data that was read; trying again."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ..schema.errors import InputError, OutputError, RunError
from .folder import Folder, LocalFolder

Result = TypeVar("Result")

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
_LONGEST_PAUSE = 60.0  # seconds
_PROBE = bytes(4096)  # a full disk takes an empty file


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
    return any(
        _is_connection(cause) or (isinstance(cause, OSError) and cause.errno in _TRANSIENT) for cause in _chain(error)
    )


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


@dataclass(frozen=True)
class RetryPolicy:
    """How often an action on a store is tried, with pauses of 1, 2, 4 ... and at most 60 seconds in between."""

    attempts: int = 10  # they pause for about four minutes in all
    wait: Callable[[float], object] = time.sleep  # pauses for so many seconds

    def run(self, what: str, action: Callable[[], Result]) -> Result:
        """Call an action until it succeeds; an error that another attempt would not change is raised at once.

        Raises:
            RunError: every attempt failed; `what` names the action in it, such as the address that is read.
        """
        pauses = [min(2.0**attempt, _LONGEST_PAUSE) for attempt in range(self.attempts - 1)]
        left = iter(pauses)
        while True:
            try:
                return action()
            except Exception as error:
                if not is_transient(error):
                    raise
                if (pause := next(left, None)) is None:
                    raise RunError(
                        f"{what}: not reachable in {self.attempts} attempts over {sum(pauses):.0f} s "
                        f"({one_line(error)}); fix the connection and rerun"
                    ) from error
            self.wait(pause)


def check_readable(folder: Folder) -> None:
    """Make sure that a folder is there and can be listed; InputError where it is not."""
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
    """Make sure that a folder is there or can be made, and takes files; nothing stays in it. OutputError where not."""
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
