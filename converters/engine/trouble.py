"""Whose fault an error is: the item's, which is quarantined, or the machine's, which stops the run."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from ...schema.errors import ConversionStopped, MediaError, Phi3VDataError
from ...storage.outage import one_line, outage
from .messages import Failure

__all__ = ["failure_of", "machine_trouble_stops", "one_line", "outage_of"]

# A name that this file system does not take is the item's fault even while writing.
_NAMES = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR}


def outage_of(error: BaseException, stage: str) -> str | None:
    """Say in one line what is wrong with the machine, the output or the network; None where the item is to blame.

    Args:
        error: what was raised.
        stage: what was being done; while writing, every error but an impossible name is the output's.
    """
    found = outage(error)
    if found is not None:
        return found
    if stage != "write" or isinstance(error, (Phi3VDataError, UnicodeError)):
        return None
    if isinstance(error, OSError) and error.errno in _NAMES:
        return None
    return f"the output cannot be written ({type(error).__name__}: {one_line(error)})"


def failure_of(error: Exception, stage: str) -> Failure:
    """Describe what an item failed with; the same failure always gives the same words.

    Args:
        error: what was raised.
        stage: what was being done; refined to `open` or `decode` by the error's class.
    """
    message = one_line(error)
    if stage in ("convert", "encode") and isinstance(error, MediaError):
        stage = "decode"
    elif stage == "convert" and isinstance(error, OSError):
        stage = "open"
    if not isinstance(error, (Phi3VDataError, OSError)):
        # A fault in a converter's own code: the line helps its author.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{message} ({PurePath(frame.filename).name}, line {frame.lineno})"
    return Failure(stage=stage, exception=type(error).__name__, message=message.strip())


@contextmanager
def machine_trouble_stops() -> Iterator[None]:
    """Turn a system error in the driver's own work (journal, assembly) into a run that stopped.

    Raises:
        ConversionStopped: the disk, the memory or the network failed.
    """
    try:
        yield
    except Phi3VDataError:
        raise
    except Exception as error:
        message = outage_of(error, "write" if isinstance(error, OSError) else "convert")
        if message is None:
            raise
        raise ConversionStopped(f"{message}; what was done is kept: mend it and run the same command again") from error
