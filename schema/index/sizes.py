"""The sizes of images, from what is known of them, or from their headers; what is found out is to be kept."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import IO, NamedTuple, TypeAlias

import pyarrow as pa

from ...storage import Folder, LocalFolder, is_remote
from ..layout import IMAGES
from .facts import ImageFacts
from .facts_table import FactsTable, batch_of
from .image_reader import ImageReader, Look

# Records of one document, or of one group, share their images and lie near one another.
_REMEMBERED = 1 << 16
# A round trip to a store takes far longer than the header it is for.
_ROUND_TRIPS = 16


class ImageSize(NamedTuple):
    """Width and height in pixels, as stored; a note that the image is to be turned is not heeded, as in training."""

    width: int
    height: int


class Unreadable(NamedTuple):
    """Why an image has no size."""

    reason: str


Found: TypeAlias = ImageSize | Unreadable


class ImageSizes:
    """Sizes of the images of a dataset folder.

    Args:
        folder: the dataset folder.
        tables: where the image facts are kept; None where every image is looked at anew.
    """

    def __init__(self, folder: Folder, tables: LocalFolder | None) -> None:
        table = FactsTable(tables, check=False) if tables is not None else None
        self._reader = ImageReader(folder, "header", table.known) if table else ImageReader(folder, "header")
        self._threads = ThreadPoolExecutor(_ROUND_TRIPS) if is_remote(folder.address) else None
        self._new: list[ImageFacts] = []
        self.of_file = lru_cache(_REMEMBERED)(self._of_file)
        """Return the size of a file, by its path below images/."""
        self._fingerprint = lru_cache(1)(folder.fingerprint)

    def look_ahead(self, names: Iterable[str]) -> None:
        """Read the headers of several files at once, where one at a time would mostly be waiting."""
        if self._threads is not None:
            list(self._threads.map(self.of_file, set(names)))

    def of_member(self, tar: str, stream: IO[bytes], offset: int, length: int) -> Found:
        """Return the size of an image inside a tar.

        Args:
            tar: its name.
            stream: the tar, open for reading.
            offset: where the image's bytes begin.
            length: how many they are.
        """

        def read(size: int) -> bytes:
            stream.seek(offset)
            return stream.read(length if size < 0 else min(size, length))

        return self._size(self._reader.part(f"{tar}@{offset}", self._fingerprint(tar), length, read))

    def take_facts(self) -> pa.RecordBatch | None:
        """Return what was found out since the last time, as rows of the facts table; None where that is nothing."""
        new, self._new = self._new, []
        return batch_of(new) if new else None

    def _of_file(self, name: str) -> Found:
        return self._size(self._reader.file(f"{IMAGES}/{name}"))

    def _size(self, look: Look) -> Found:
        facts = look.facts
        if look.is_new:
            self._new.append(facts)
        # That pixels are damaged is known where somebody looked at them; what a record costs must not depend on it.
        return ImageSize(facts.width, facts.height) if facts.width and facts.height else Unreadable(facts.problem)
