"""The journal: one line for each item that is settled, in the order in which they were.

It is only ever appended to. Opening it reads it once, from start to end, and remembers where each item's last line
starts; assembly then seeks. A kill may tear the last line: the journal ends before its first line that is not whole,
and the items behind it are done again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import IO

import msgspec

from . import faults
from .messages import Done, Failed, Outcome, decode_outcome
from .spool import line_at, lines

__all__ = ["Journal"]

_OPEN, _DONE, _FAILED = 0, 1, 2


class Journal:
    """What became of each item so far.

    Args:
        stream: a file opened for reading and appending.
        items: how many items the plan has.
        ship: called with every line appended; object stores collect them into segments.
    """

    def __init__(self, stream: IO[bytes], items: int, ship: Callable[[bytes], None] | None = None) -> None:
        self._stream = stream
        self._ship = ship
        self._offsets = array("q", bytes(8 * items))
        self._states = bytearray(items)
        self._end = self._read()

    def _read(self) -> int:
        end = 0
        for line in lines(self._stream):
            try:
                if not line.whole:
                    break
                self._note(decode_outcome(line.data), line.offset)
            except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
                break
            end = line.offset + len(line.data) + 1
        self._stream.truncate(end)
        return end

    def __len__(self) -> int:
        return len(self._states)

    def _note(self, outcome: Outcome, offset: int) -> None:
        self._states[outcome.index] = _DONE if isinstance(outcome, Done) else _FAILED
        self._offsets[outcome.index] = offset

    def append(self, line: bytes, outcome: Done | Failed) -> None:
        """Note what became of one item; `line` is the outcome as the worker wrote it."""
        faults.write(self._stream, line + b"\n", "journal-half-appended")
        self._stream.flush()
        self._note(outcome, self._end)
        self._end += len(line) + 1
        if self._ship is not None:
            self._ship(line + b"\n")
        faults.point("journal-appended")

    def outcome(self, index: int) -> Done | Failed | None:
        """Return what became of an item, None where it is still to be done."""
        if self._states[index] == _OPEN:
            return None
        found = decode_outcome(line_at(self._stream, self._offsets[index]))
        return found if isinstance(found, (Done, Failed)) else None

    def settled(self, index: int) -> bool:
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
