"""The lines of a dataset, as they lie there: numbered as the validator numbers them, and the way to their images."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from ...storage import Folder
from ...storage.outage import one_line
from ..dataset import Dataset
from ..errors import DatasetError
from ..jsonl import JSONL_SUFFIXES, LONGEST_LINE
from ..rules.lines import tasks_of
from ..shards import Shard

_PART = 1 << 22
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class InputLine:
    """A line that is not blank, or a sample of a shard.

    Args:
        split: it is of.
        file: where it lies, relative to the dataset folder.
        number: of the line or the sample, from 1.
        data: the record's bytes, without a byte order mark and without the line end; empty where they are too many.
        has_mark: whether a byte order mark stood before it.
        stored: gives the images beside it, where it lies in a shard; to be asked before the next line is read.
    """

    split: str
    file: str
    number: int
    data: bytes
    has_mark: bool = False
    stored: Callable[[], Sequence[bytes]] | None = None


def input_lines(dataset: Dataset) -> Iterator[InputLine]:
    """Yield the lines of every split, in order; of shards where the images are in shards alone.

    Raises:
        DatasetError: a file is missing, cannot be read, or is damaged.
    """
    for split in dataset.splits:
        if split in dataset.shards:
            for name in dataset.shards[split]:
                yield from _samples(dataset.folder, split, name)
        else:
            yield from _lines(dataset.folder, split, dataset.files[split])


def _samples(folder: Folder, split: str, name: str) -> Iterator[InputLine]:
    with Shard(folder, name) as shard:
        for number in range(len(shard)):
            images = cache(partial(_images, shard, number))
            yield InputLine(split, name, number + 1, shard.data(number), stored=images)


def _images(shard: Shard, number: int) -> Sequence[bytes]:
    return shard.sample(number).images


def _lines(folder: Folder, split: str, name: str) -> Iterator[InputLine]:
    if not name.endswith(JSONL_SUFFIXES) or not folder.exists(name):
        raise DatasetError(f"{folder.address}/{name}: no such file of records; restore it, or convert the data again")
    number = 0
    try:
        for task in tasks_of(folder, name, _PART):
            for block in task.read(folder, LONGEST_LINE):
                if block.too_long:
                    number += 1
                    yield InputLine(split, name, number, b"")
                    continue
                lines = block.data.split(b"\n")
                if not lines[-1]:
                    lines.pop()
                for line in lines:
                    number += 1
                    marked = number == 1 and line.startswith(_BOM)
                    data = line.removeprefix(_BOM) if marked else line
                    if data.strip():
                        yield InputLine(split, name, number, data.rstrip(b"\r"), marked)
    except (OSError, EOFError, zlib.error) as error:
        reason = one_line(error) or type(error).__name__
        raise DatasetError(f"{folder.address}/{name}: cannot be read ({reason}); write it again") from error
