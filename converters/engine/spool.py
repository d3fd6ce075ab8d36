"""Lines in a file, read again from any place without disturbing whoever appends to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, NamedTuple

__all__ = ["SpooledLine", "line_at", "lines"]

_BLOCK = 1 << 20


class SpooledLine(NamedTuple):
    """One line: where it starts, its bytes without the line end, and whether it has one (the last may be torn)."""

    offset: int
    data: bytes
    whole: bool


def lines(stream: IO[bytes]) -> Iterator[SpooledLine]:
    """Yield every line of an open file, by positioned reads."""
    start, rest, position = 0, b"", 0
    while block := os.pread(stream.fileno(), _BLOCK, position):
        position += len(block)
        *complete, rest = (rest + block).split(b"\n")
        for line in complete:
            yield SpooledLine(start, line, True)
            start += len(line) + 1
    if rest:
        yield SpooledLine(start, rest, False)


def line_at(stream: IO[bytes], offset: int) -> bytes:
    """Return the line that starts at an offset, without its line end."""
    size, end = 4096, -1
    while end < 0:
        data = os.pread(stream.fileno(), size, offset)
        end = data.find(b"\n")
        if len(data) < size:
            break
        size *= 4
    return data[:end] if end >= 0 else data
