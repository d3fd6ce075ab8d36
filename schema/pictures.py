"""The pictures that records show: files under images/, or members of the shards where those are all that was kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO, NamedTuple, Protocol

from .errors import DatasetError
from .folder import Folder
from .layout import IMAGES
from .record import Record
from .shards import read_index

__all__ = ["PictureFiles", "Pictures", "ShardedPictures"]


class Pictures(Protocol):
    """Where the pictures of a dataset are."""

    def open(self, record: Record, number: int) -> IO[bytes]:
        """Open a picture of a record, by its place (from 0) among all that the record shows.

        Raises:
            OSError: it cannot be read; FileNotFoundError where there is none.
        """

    def place(self, record: Record, number: int) -> str:
        """Name where that picture is, for people."""


class PictureFiles:
    """Pictures under images/, each under the path that records show it by.

    Args:
        folder: the dataset folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def open(self, record: Record, number: int) -> IO[bytes]:
        """Open a picture; see `Pictures.open`."""
        return self._folder.open(self.place(record, number))

    def place(self, record: Record, number: int) -> str:
        """Name where that picture is."""
        return f"{IMAGES}/{list(record.images())[number]}"


class _Sample(NamedTuple):
    shard: str
    images: list[tuple[int, int]]


class ShardedPictures:
    """Pictures in WebDataset shards, found by the indexes beside them; those are read once.

    Args:
        folder: the dataset folder.
        shards: the names of its tars.

    Raises:
        DatasetError: a tar or its index is missing or damaged.
    """

    def __init__(self, folder: Folder, shards: Iterable[str]) -> None:
        self._folder = folder
        self._samples: dict[str, _Sample] = {}
        for name in shards:
            if not folder.exists(name):
                raise DatasetError(f"{folder.address}/{name}: cannot be read with its index (no such file)")
            self._samples.update((entry.id, _Sample(name, entry.images)) for entry in read_index(folder, name))

    def open(self, record: Record, number: int) -> IO[bytes]:
        """Open a picture; see `Pictures.open`."""
        sample = self._samples.get(record.id)
        if sample is None or number >= len(sample.images):
            raise FileNotFoundError(record.id)
        offset, size = sample.images[number]
        with self._folder.open(sample.shard) as stream:
            stream.seek(offset)
            return io.BytesIO(stream.read(size))

    def place(self, record: Record, number: int) -> str:
        """Name where that picture is."""
        sample = self._samples.get(record.id)
        return f"picture {number} of {record.id} in {sample.shard if sample else 'the shards'}"
