"""Records that must stay in one split: those of one group, those that show one image, and those that say the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import xxhash

from ..dataset import Dataset
from ..errors import DatasetError
from ..index.header import HEAD
from ..layout import IMAGES
from ..record import Record
from ..shards import Shard
from .fields import group_of
from .joining import Input
from .reading import InputLine


class Components:
    """Sets of numbers, joined pair by pair (a union-find forest, with path halving)."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def __len__(self) -> int:
        return len(self._parents)

    def add(self) -> int:
        """Add a number, in a set of its own, and return it."""
        self._parents.append(len(self._parents))
        return len(self._parents) - 1

    def join(self, one: int, other: int) -> None:
        """Make one set of the sets of two numbers."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parents[second] = first

    def root(self, number: int) -> int:
        """Return the smallest number of the set that a number is in."""
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    def sets(self, numbers: Iterable[int]) -> list[list[int]]:
        """Return the sets that numbers lie in, without the other numbers, in the order of their first."""
        found: dict[int, list[int]] = {}
        for number in numbers:
            found.setdefault(self.root(number), []).append(number)
        return list(found.values())


class _ShownImage(NamedTuple):
    """Where an image can be read again: the dataset's number, and its name, or its shard's name and place."""

    source: int
    name: str
    place: tuple[int, int] | None = None


class Together:
    """Finds out which records belong together.

    Images are compared by size and first bytes, and by all bytes where these are equal.

    Args:
        inputs: the datasets that records are of.
    """

    def __init__(self, inputs: list[Input]) -> None:
        self._datasets: list[Dataset] = [each.dataset for each in inputs]
        self.components = Components()
        self._firsts: dict[Hashable, int] = {}
        self._alike: dict[int, dict[_ShownImage, int]] = {}
        self._known: dict[tuple[int, str], int] = {}

    def add(self, source: int, line: InputLine, record: Record) -> int:
        """Add a record, and return its number: they are counted from 0.

        Raises:
            DatasetError: an image of it cannot be read.
        """
        row = self.components.add()
        group = group_of(record)
        if group is not None:
            self._join(("group", group), row)
        names = list(record.images())
        said = "\0".join(part for turn in record.conversations for part in (turn.user, turn.assistant, *turn.images))
        self._join(("content", xxhash.xxh3_128_intdigest(said.encode())), row)
        if line.stored is not None:
            for number, data in enumerate(line.stored()):
                head = _head(data[:HEAD], len(data))
                self._alike.setdefault(head, {}).setdefault(
                    _ShownImage(source, line.file, (line.number - 1, number)), row
                )
            return row
        for name in names:
            first = self._known.setdefault((source, name), row)
            if first != row:
                self.components.join(first, row)
            else:
                self._alike.setdefault(self._head_of(source, name), {}).setdefault(_ShownImage(source, name), row)
        return row

    def finish(self) -> Components:
        """Join the records whose images are equal to the last byte, and return all sets.

        Raises:
            DatasetError: an image cannot be read.
        """
        for images in self._alike.values():
            if len(images) > 1:
                for image, row in images.items():
                    self._join(("image", xxhash.xxh3_128_intdigest(self._read(image))), row)
        self._alike.clear()
        return self.components

    def _join(self, key: Hashable, row: int) -> None:
        first = self._firsts.setdefault(key, row)
        if first != row:
            self.components.join(first, row)

    def _head_of(self, source: int, name: str) -> int:
        folder = self._datasets[source].folder
        try:
            with folder.open(f"{IMAGES}/{name}") as stream:
                head = stream.read(HEAD)
                return _head(head, len(head) if len(head) < HEAD else folder.size(f"{IMAGES}/{name}"))
        except OSError as error:
            raise _unreadable(self._datasets[source], name, error) from error

    def _read(self, image: _ShownImage) -> bytes:
        dataset = self._datasets[image.source]
        if image.place is not None:
            with Shard(dataset.folder, image.name) as shard:
                return shard.image(*image.place)
        try:
            return dataset.folder.read(f"{IMAGES}/{image.name}")
        except OSError as error:
            raise _unreadable(dataset, image.name, error) from error


def _head(head: bytes, size: int) -> int:
    return xxhash.xxh3_64_intdigest(head, size)


def _unreadable(dataset: Dataset, name: str, error: OSError) -> DatasetError:
    where = f"{dataset.folder.address}/{IMAGES}/{name}"
    return DatasetError(f"{where}: cannot be read ({error.strerror or error}); --drop F leaves out such records")
