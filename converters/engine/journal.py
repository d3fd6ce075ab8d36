"""The journal: one line for each item that is settled, in the order in which they were, each with its checksum.

::

    5f0c2a91 {"type":"done","index":7,"record":{...},"sizes":[2041]}

It is only ever appended to. Opening it reads it once, from start to end, and remembers where each item's last line
lies; assembly then seeks. A kill may tear the last line, which is cut off. A checksum counts the one before it in, so
that a line that was changed, moved or lost is noticed; the line is passed over. It may have superseded an earlier
failure, so the items that failed before it are done again.
"""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import msgspec

from ...schema.errors import ConversionStopped
from . import fault_injection
from .messages import Done, Failed, Outcome, decode_outcome

__all__ = ["Journal", "journal_lines", "lines_of", "read_journal"]

_OPEN, _DONE, _FAILED = 0, 1, 2
_CHECKSUM = 9  # bytes: CRC-32 in hex, a space
_BLOCK = 1 << 20


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield every line of an open file, by positioned reads that disturb nobody; the last may lack its line end."""
    rest, position = b"", 0
    while block := os.pread(stream.fileno(), _BLOCK, position):
        position += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def journal_lines(outcomes: Iterable[bytes], checksum: int = 0) -> Iterator[bytes]:
    """Yield the lines of a journal, line ends included, that hold these encoded outcomes behind a checksum."""
    for outcome in outcomes:
        checksum = zlib.crc32(outcome, checksum)
        yield b"%08x %b\n" % (checksum, outcome)


def read_journal(lines: Iterable[bytes]) -> Iterator[Outcome | None]:
    """Read the lines of a journal; None stands for one that is not as it was written."""
    checksum = 0
    for line in lines:
        yield _outcome(line, checksum)
        checksum = _stated(line)


def _outcome(line: bytes, before: int) -> Outcome | None:
    outcome = line[_CHECKSUM:-1]
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

    def __init__(self, stream: IO[bytes], items: int, on_line: Callable[[bytes], object] | None = None) -> None:
        self._stream, self._on_line = stream, on_line
        self._states = bytearray(items)
        # Of each item's last line: where it starts, its size, and the checksum of the line before it.
        self._offsets, self._sizes = array("q", bytes(8 * items)), array("I", bytes(4 * items))
        self._before = array("I", bytes(4 * items))
        self._end = self._checksum = self.damaged = 0
        for line in lines_of(stream):
            if not line.endswith(b"\n"):
                break
            self._reread(line)
        stream.truncate(self._end)
        stream.seek(self._end)

    def _reread(self, line: bytes) -> None:
        outcome = _outcome(line, self._checksum)
        if outcome is None or not 0 <= outcome.index < len(self._states):
            self.damaged += 1
            self.reopen_failed()
            outcome = None
        elif self.damaged and isinstance(outcome, Failed) and self._states[outcome.index] == _DONE:
            self.reopen(outcome.index)  # behind a damaged line, older lines may stand once more
            outcome = None
        self._note(outcome, line, _stated(line))

    def _note(self, outcome: Outcome | None, line: bytes, checksum: int) -> None:
        if outcome is not None:
            self._states[outcome.index] = _DONE if isinstance(outcome, Done) else _FAILED
            self._offsets[outcome.index], self._sizes[outcome.index] = self._end, len(line)
            self._before[outcome.index] = self._checksum
        self._end += len(line)
        self._checksum = checksum

    def __len__(self) -> int:
        return len(self._states)

    def append(self, outcome: bytes, decoded: Done | Failed) -> None:
        """Note what became of one item; `outcome` is what the worker wrote, `decoded` the same as an object."""
        (line,) = journal_lines([outcome], self._checksum)
        fault_injection.write(self._stream, line, "journal-half-appended")
        self._stream.flush()
        self._note(decoded, line, _stated(line))
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
        line = os.pread(self._stream.fileno(), self._sizes[index], self._offsets[index])
        found = _outcome(line, self._before[index])
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
