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
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import IO

import msgspec
import numpy as np

from ...schema.errors import ConversionStopped
from . import fault_injection
from .messages import Done, Failed, Outcome, decode_outcome

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


def read_journal(lines: Iterable[bytes]) -> Iterator[tuple[bytes, Outcome | None]]:
    """Yield the whole lines of a journal, each with its outcome, None where it is not as it was written."""
    checksum = 0
    for line in takewhile(lambda line: line.endswith(b"\n"), lines):
        yield line, _outcome(line, checksum)
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
    """What became of each of so many items, in a file open for reading and appending; `on_line` gets every new line."""

    def __init__(self, stream: IO[bytes], items: int, on_line: Callable[[bytes], object] | None = None) -> None:
        self._stream, self._on_line = stream, on_line
        # Of each item's last line: what it says, where it starts, its size, and the checksum of the line before it.
        self._items = np.zeros(items, [("state", "u1"), ("start", "i8"), ("size", "u4"), ("before", "u4")])
        self._states = self._items["state"]
        self._end = self._checksum = 0
        self.damaged = 0  # lines that were not as they were written
        for line, outcome in read_journal(lines_of(stream)):
            if outcome is None or not 0 <= outcome.index < items:
                self.damaged += 1
                self.reopen_failed()
                outcome = None
            elif self.damaged and isinstance(outcome, Failed) and self._states[outcome.index] == _DONE:
                self.reopen(outcome.index)  # behind a damaged line, older lines may stand once more
                outcome = None
            self._note(outcome, line)
        stream.truncate(self._end)
        stream.seek(self._end)

    def _note(self, outcome: Outcome | None, line: bytes) -> None:
        if outcome is not None:
            state = _DONE if isinstance(outcome, Done) else _FAILED
            self._items[outcome.index] = (state, self._end, len(line), self._checksum)
        self._end += len(line)
        self._checksum = _stated(line)

    def append(self, outcome: bytes, decoded: Done | Failed) -> None:
        """Note what became of one item; `outcome` is what the worker wrote, `decoded` the same as an object."""
        (line,) = journal_lines([outcome], self._checksum)
        fault_injection.write(self._stream, line, "journal-half-appended")
        self._stream.flush()
        self._note(decoded, line)
        if self._on_line is not None:
            self._on_line(line)
        fault_injection.point("journal-appended")

    def outcome(self, index: int) -> Done | Failed | None:
        """Return what became of an item, None where it is still to be done; ConversionStopped if its line changed."""
        state, start, size, before = self._items[index].item()
        if state == _OPEN:
            return None
        found = _outcome(os.pread(self._stream.fileno(), size, start), before)
        if not isinstance(found, (Done, Failed)) or found.index != index:
            raise ConversionStopped(
                "the journal was changed while this run read it; rerun: what was lost is done again"
            )
        return found

    def is_settled(self, index: int) -> bool:
        """Tell whether an item needs no more work."""
        return bool(self._states[index] != _OPEN)

    def reopen(self, index: int) -> None:
        """Forget what became of an item: it is done again."""
        self._states[index] = _OPEN

    def reopen_failed(self) -> None:
        """Forget which items failed: they are done again."""
        self._states[self._states == _FAILED] = _OPEN

    def count(self) -> tuple[int, int]:
        """Count the items with a record and those that failed."""
        return int((self._states == _DONE).sum()), int((self._states == _FAILED).sum())
