"""The indexes of WebDataset shards: where each sample lies in its tar, one JSON object a sample.

They lie in a folder `.offsets` beside the tars: `datasets.load_dataset` passes over hidden folders, and takes every
other .jsonl file for data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from ..storage import Folder
from ..storage.outage import one_line
from .errors import DatasetError

_HEADER = 512

# A header precedes every member, and no tar is larger than 2**53 bytes.
_Start: TypeAlias = Annotated[int, Meta(ge=_HEADER, le=1 << 53)]
_Size: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
_Place: TypeAlias = tuple[_Start, _Size]


class ShardEntry(msgspec.Struct, frozen=True):
    """Where a sample lies in its tar: offset and size of the record, and of each image it shows.

    Args:
        id: the record's.
        record: offset and size of its JSON.
        images: offset and size of each image.
    """

    id: str
    record: _Place
    images: list[_Place]


def index_name(shard: str) -> str:
    """Name the index of a tar: a JSON object a sample, see `ShardEntry`."""
    folder, slash, name = shard.rpartition("/")
    return f"{folder}{slash}.offsets/{name}.index.jsonl"


def index_names(folder: Folder, shards: Sequence[str]) -> list[str]:
    """Name the indexes that tars have, here or, as earlier versions wrote them, beside the tars.

    Args:
        folder: the dataset folder.
        shards: the names of its tars, all in one folder.
    """
    expected = [index_name(shard) for shard in shards]
    try:
        here = {entry.name for entry in folder.list(expected[0].rpartition("/")[0])} if expected else set()
    except (FileNotFoundError, NotADirectoryError):
        here = set()
    return [name if name in here else _earlier_index_name(shard) for shard, name in zip(shards, expected, strict=True)]


def _earlier_index_name(shard: str) -> str:
    return f"{shard}.index.jsonl"


def read_index(folder: Folder, shard: str) -> list[ShardEntry]:
    """Return where each sample of a tar lies, as its index says.

    Args:
        folder: the dataset folder.
        shard: the tar's name in it.

    Raises:
        DatasetError: the index is missing or damaged.
    """
    where = f"{folder.address}/{shard}"
    try:
        try:
            data = folder.read(index_name(shard))
        except FileNotFoundError:
            data = folder.read(_earlier_index_name(shard))
    except OSError as error:
        raise _unreadable(where, error) from error
    try:
        return [_entries.decode(line) for line in data.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(
            f"{where}: its index is damaged ({one_line(error)[:300]}); write the shards again"
        ) from error


def read_whole_index(folder: Folder, shard: str) -> list[ShardEntry]:
    """Return where each sample of a tar lies, all of them within the tar; see `read_index`.

    Raises:
        DatasetError: the tar or its index is missing, damaged or cut short.
    """
    entries, where = read_index(folder, shard), f"{folder.address}/{shard}"
    try:
        size = folder.size(shard)
    except OSError as error:
        raise _unreadable(where, error) from error
    if any(start + length > size for entry in entries for start, length in (entry.record, *entry.images)):
        raise DatasetError(f"{where}: ends before its index says; write the shards again")
    return entries


def _unreadable(where: str, error: OSError) -> DatasetError:
    return DatasetError(f"{where}: cannot be read with its index ({one_line(error)})")


_entries = msgspec.json.Decoder(ShardEntry)
