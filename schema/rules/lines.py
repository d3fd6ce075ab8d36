"""A JSONL file in pieces of whole lines, for workers to read: plain, or compressed by gzip or Zstandard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

from ...storage import Folder
from ..jsonl import LONGEST_LINE, open_lines

_BLOCK = 1 << 20


class Block(NamedTuple):
    """Lines that follow one another.

    Args:
        offset: of the first byte, in the file as it is when it is decompressed.
        data: the lines, with their ends.
        too_long: size of a line that is longer than may be, and stands alone in its block; its bytes are left out.
    """

    offset: int
    data: bytes
    too_long: int = 0


class Task(NamedTuple):
    """A part of a file.

    Args:
        file: its name.
        start: the first byte; lines that begin before it belong to the part before.
        end: the byte behind it; the line that begins before it belongs to this part, to its end.
        blocks: the lines themselves, where they cannot be read from any place.
    """

    file: str
    start: int
    end: int
    blocks: list[Block] | None = None

    def read(self, folder: Folder, longest: int = LONGEST_LINE) -> Iterator[Block]:
        """Yield the lines of this part, but for those that are longer than may be.

        Raises:
            OSError: the file cannot be read.
        """
        if self.blocks is not None:
            yield from self.blocks
            return
        with folder.open(self.file) as stream:
            yield from _blocks(stream, self.start, self.end, longest=longest)


def tasks_of(folder: Folder, name: str, size: int, longest: int = LONGEST_LINE) -> Iterator[Task]:
    """Cut a file into parts of about `size` bytes.

    Raises:
        OSError: the file cannot be read.
        DatasetError: it is compressed, and damaged.
    """
    if name.endswith(".jsonl"):
        total = folder.size(name)
        for start in range(0, total, size):
            yield Task(name, start, min(start + size, total))
        return
    # What is compressed is read once, from its start.
    with open_lines(folder, name) as stream:
        for block in _blocks(stream, 0, None, size, longest):
            yield Task(name, block.offset, block.offset + len(block.data), [block])


def _blocks(
    stream: IO[bytes], start: int, end: int | None, size: int = _BLOCK, longest: int = LONGEST_LINE
) -> Iterator[Block]:
    offset = start
    if start > 0:
        # The line that the byte before lies in is somebody else's.
        stream.seek(start - 1)
        offset = start - 1 + _skip_line(stream, None if end is None else end - start + 1)
    while end is None or offset < end:
        wanted = min(size, longest) if end is None else min(size, longest, end - offset)
        data = stream.read(wanted)
        if not data:
            return
        if not data.endswith(b"\n"):
            rest = stream.readline(longest)
            data += rest
            if len(rest) == longest and not rest.endswith(b"\n"):
                cut = data.rfind(b"\n") + 1
                if cut:
                    yield Block(offset, data[:cut])
                length = len(data) - cut + _skip_line(stream, None)
                yield Block(offset + cut, b"", length)
                offset += cut + length
                continue
        yield Block(offset, data)
        offset += len(data)


def _skip_line(stream: IO[bytes], most: int | None) -> int:
    """Read on to the end of a line, or by so many bytes, and return how many there were."""
    skipped = 0
    while most is None or skipped < most:
        data = stream.readline(_BLOCK)
        skipped += len(data)
        if not data or data.endswith(b"\n"):
            break
    return skipped
