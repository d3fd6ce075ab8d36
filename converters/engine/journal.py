"""The journal: one line for each item that is settled, in the order in which they were, each with its checksum.

::

    5f0c2a91 {"type":"done","index":7,"record":{...},"sizes":[2041]}

It is only ever appended to. Opening it reads it once, from start to end, and remembers where each item's last line
starts; assembly then seeks. A kill may tear the last line, which is cut off. A checksum counts the one before it in, so
that a line that was changed, moved or lost is noticed; the line is passed over. It may have superseded an earlier
failure, so the items that failed before it are done again.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import msgspec

from ...schema.errors import ConversionStopped
from ..base import Item
from . import fault_injection
from .messages import Done, Failed, Failure, Outcome, decode_outcome
from .plan import Plan
from .spool import line_at, lines

__all__ = ["Journal", "Result", "journal_lines", "read_journal", "results"]

_OPEN, _DONE, _FAILED = 0, 1, 2
_CHECKSUM = 9  # bytes: CRC-32 in hex, a space


def journal_lines(outcomes: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a journal that starts with these encoded outcomes, line ends included."""
    checksum = 0
    for outcome in outcomes:
        line, checksum = _line(outcome, checksum)
        yield line


def read_journal(lines: Iterable[bytes]) -> Iterator[Outcome | None]:
    """Read the lines of a journal, given without their ends; None stands for one that is not as it was written."""
    checksum = 0
    for line in lines:
        yield _outcome(line, checksum)
        checksum = _stated(line)


def _line(outcome: bytes, before: int) -> tuple[bytes, int]:
    checksum = zlib.crc32(outcome, before)
    return b"%08x %b\n" % (checksum, outcome), checksum


def _outcome(line: bytes, before: int) -> Outcome | None:
    outcome = line[_CHECKSUM:]
    if line[:_CHECKSUM] != b"%08x " % zlib.crc32(outcome, before):
        return None
    try:
        return decode_outcome(outcome)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _stated(line: bytes) -> int:
    """Return the checksum that a line states, whether it holds or not: the next line builds on it."""
    try:
        return int(line[: _CHECKSUM - 1], 16) & 0xFFFFFFFF
    except ValueError:
        return 0


class Journal:
    """What became of each item so far.

    Args:
        stream: a file opened for reading and writing.
        items: how many items the plan has.
        on_line: called with every line appended.

    Attributes:
        damaged: how many lines were not as they were written when the journal was opened.
    """

    def __init__(self, stream: IO[bytes], items: int, on_line: Callable[[bytes], None] | None = None) -> None:
        self._stream = stream
        self._on_line = on_line
        self._offsets = array("q", bytes(8 * items))
        self._before = array("I", bytes(4 * items))  # the checksum of the line before each item's
        self._checksum = 0
        self._states = bytearray(items)
        self.damaged = 0
        self._end = self._read()

    def _read(self) -> int:
        end = 0
        for line in lines(self._stream):
            if not line.whole:
                break
            outcome = _outcome(line.data, self._checksum)
            if outcome is None or not 0 <= outcome.index < len(self._states):
                self.damaged += 1
                self.reopen_failed()
            elif self.damaged and isinstance(outcome, Failed) and self._states[outcome.index] == _DONE:
                self.reopen(outcome.index)  # behind a damaged line, older lines may stand once more
            else:
                self._note(outcome, line.offset)
            self._checksum = _stated(line.data)
            end = line.offset + len(line.data) + 1
        self._stream.truncate(end)
        self._stream.seek(end)
        return end

    def __len__(self) -> int:
        return len(self._states)

    def _note(self, outcome: Outcome, offset: int) -> None:
        self._states[outcome.index] = _DONE if isinstance(outcome, Done) else _FAILED
        self._offsets[outcome.index] = offset
        self._before[outcome.index] = self._checksum

    def append(self, outcome: bytes, decoded: Done | Failed) -> None:
        """Note what became of one item; `outcome` is what the worker wrote, `decoded` the same as an object."""
        line, checksum = _line(outcome, self._checksum)
        fault_injection.write(self._stream, line, "journal-half-appended")
        self._stream.flush()
        self._note(decoded, self._end)
        self._end += len(line)
        self._checksum = checksum
        if self._on_line is not None:
            self._on_line(line)
        fault_injection.point("journal-appended")

    def outcome(self, index: int) -> Done | Failed | None:
        """Return what became of an item, None where it is still to be done.

        Raises:
            ConversionStopped: its line was changed since the journal was opened.
        """
        if self._states[index] == _OPEN:
            return None
        found = _outcome(line_at(self._stream, self._offsets[index]), self._before[index])
        if not isinstance(found, (Done, Failed)) or found.index != index:
            raise ConversionStopped(
                "the journal was changed while this run read it; rerun: what was lost is done again"
            )
        return found

    def is_settled(self, index: int) -> bool:
        """Tell whether an item needs no more work."""
        return self._states[index] != _OPEN

    def reopen(self, index: int) -> None:
        """Forget what became of an item: it is done again."""
        self._states[index] = _OPEN

    def reopen_failed(self) -> None:
        """Forget which items failed: they are done again."""
        self._states = self._states.replace(bytes([_FAILED]), bytes([_OPEN]))

    def count(self) -> tuple[int, int]:
        """Count the items with a record and those that failed."""
        return self._states.count(_DONE), self._states.count(_FAILED)


@dataclass(frozen=True)
class Result:
    """One item that was asked for, and what became of it.

    Args:
        item: the item.
        failure: why it has no record, None where it has one.
        record: its record, encoded.
        sizes: the bytes of its images when they were written, in the order the record shows them.
    """

    item: Item
    failure: Failure | None = None
    record: bytes = b""
    sizes: tuple[int, ...] = ()


def results(plan: Plan, journal: Journal) -> Iterator[Result]:
    """Yield what became of every item that was asked for and is settled, in the plan's order."""
    for index, planned in enumerate(plan):
        if planned.failure is not None:
            yield Result(planned.item, planned.failure)
        elif not planned.skipped:
            outcome = journal.outcome(index)
            if isinstance(outcome, Done):
                yield Result(planned.item, None, bytes(outcome.record), tuple(outcome.sizes))
            elif outcome is not None:
                yield Result(planned.item, outcome.failure)
