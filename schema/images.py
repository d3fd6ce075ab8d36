"""The images that records show: files under images/, or members of the shards where those are all that was kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO, NamedTuple, Protocol

from ..storage import Folder
from .layout import IMAGES
from .record import Record
from .shard_index import read_whole_index


class Images(Protocol):
    """Where the images of a dataset are."""

    def open(self, record: Record, number: int) -> IO[bytes]:
        """Open an image of a record, by its place (from 0) among all that the record shows.

        Raises:
            OSError: it cannot be read; FileNotFoundError where there is none.
        """

    def place(self, record: Record, number: int) -> str:
        """Name where that image is, for people."""


class ImageFiles:
    """Images under images/, each under the path that records show it by.

    Args:
        folder: the dataset folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def open(self, record: Record, number: int) -> IO[bytes]:
        """Open an image; see `Images.open`."""
        return self._folder.open(self.place(record, number))

    def place(self, record: Record, number: int) -> str:
        """Name where that image is."""
        return f"{IMAGES}/{list(record.images())[number]}"


class _Sample(NamedTuple):
    shard: str
    images: list[tuple[int, int]]


class ShardedImages:
    """Images in WebDataset shards, found by the indexes beside them; those are read once.

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
            self._samples.update((entry.id, _Sample(name, entry.images)) for entry in read_whole_index(folder, name))

    def open(self, record: Record, number: int) -> IO[bytes]:
        """Open an image; see `Images.open`."""
        sample = self._samples.get(record.id)
        if sample is None or number >= len(sample.images):
            raise FileNotFoundError(record.id)
        offset, size = sample.images[number]
        with self._folder.open(sample.shard) as stream:
            stream.seek(offset)
            return io.BytesIO(stream.read(size))

    def place(self, record: Record, number: int) -> str:
        """Name where that image is."""
        sample = self._samples.get(record.id)
        return f"image {number} of {record.id} in {sample.shard if sample else 'the shards'}"
