"""Who is to blame for an error: the item, which is quarantined, or the machine, which stops the run.

What an item failed with becomes part of the dataset (`quarantine.jsonl`), so its message is made the same on every
machine and in every run: no absolute path, no random name, no address of an object, at most 1,000 characters.
"""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from ...schema.errors import ConversionStopped, MediaError, Phi3VDataError, UsageError
from ...storage.outage import one_line, outage
from .messages import Failure

LONGEST_MESSAGE = 1000  # characters

_TEMPORARY = "(a temporary file)"
# An absolute path: not the rest of an address (s3://), of a relative path, or of a fraction.
_ABSOLUTE = re.compile(r"(?<![\w.:/\\-])/(?:[^\s/'\"<>:;,()]+/)+")
_DRIVE = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\s\\'\"<>:;,()]+\\)+")
_PARTIAL = re.compile(r"\.partial/[0-9a-f]{32}")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def outage_of(error: BaseException, stage: str) -> str | None:
    """Describe in one line what is wrong with the machine, the output or the network; None: the item is to blame.

    While writing, at the stage `write`, every error that is not the item's own is the output's.
    """
    found = outage(error)
    if found is None and stage == "write" and not isinstance(error, (Phi3VDataError, UnicodeError)):
        return f"the output cannot be written ({type(error).__name__}: {one_line(error)})"
    return found


def failure_of(error: BaseException, stage: str, roots: Iterable[str] = ()) -> Failure:
    """Describe what an item failed with, always alike; the error's class refines the stage to `open` or `decode`."""
    if stage in ("convert", "encode") and isinstance(error, MediaError):
        stage = "decode"
    elif stage == "convert" and isinstance(error, OSError):
        stage = "open"
    place = ""
    if not isinstance(error, (Phi3VDataError, OSError)) and error.__traceback__ is not None:
        # An error in a converter's own code: the line helps its author.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f" ({PurePath(frame.filename).name}, line {frame.lineno})"
    text = portable(one_line(error), roots, LONGEST_MESSAGE - len(place))
    return Failure(stage, type(error).__name__, f"{text}{place}".strip())


def portable(text: str, roots: Iterable[str] = (), longest: int = LONGEST_MESSAGE) -> str:
    """Return a message on one line without what differs from machine to machine or from run to run.

    Paths below `roots` (the input, the dataset) become relative; every other absolute path keeps its last part alone.
    """
    # Far longer texts come from strangers; no pattern is run over megabytes.
    text = " ".join(text[: 20 * longest].encode("utf-8", "backslashreplace").decode().split())
    for root in sorted({root.rstrip("/") for root in roots if root.strip("/")}, key=len, reverse=True):
        text = text.replace(f"{root}/", "").replace(root, ".")
    text = _PARTIAL.sub(_TEMPORARY, text)
    temporary = re.escape(tempfile.gettempdir().rstrip("/"))
    text = re.sub(rf"(?<![\w.:/-]){temporary}/[^\s/'\"<>:;,()]+(?![^\s'\"<>:;,()])", _TEMPORARY, text)
    text = _ADDRESS.sub("0x...", _DRIVE.sub("", _ABSOLUTE.sub("", text)))
    return shortened(text, longest)


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text; one of more characters is cut, and ends in "..."."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


@contextmanager
def source_errors(name: str, doing: str) -> Iterator[None]:
    """Turn what a source's code raises, `sys.exit` too, into a UsageError of one line: name, what it was `doing`, why.

    Errors of this package and of the machine stay what they are.
    """
    try:
        yield
    except (Phi3VDataError, OSError, MemoryError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        found = failure_of(error, "discover")
        raise UsageError(f"the source {name} failed while it {doing}: {found.exception}: {found.message}") from error


@contextmanager
def stop_on_outage() -> Iterator[None]:
    """Turn an outage in the driver's own work (journal, assembly) into ConversionStopped."""
    try:
        yield
    except Exception as error:
        message = outage_of(error, "write" if isinstance(error, OSError) else "convert")
        if message is None or isinstance(error, Phi3VDataError):
            raise
        raise ConversionStopped(f"{message}; fix it and rerun: progress is kept") from error
