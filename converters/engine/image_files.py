"""The images of a conversion on disk: whose name is whose, are they as they were written, and which are orphaned."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Set
from functools import lru_cache

from ...schema.errors import ItemError
from ...schema.record import Record, decode_record
from ...storage import Entry, Folder, LocalFolder

# After the item's own prefix: a dot, a part without dots or slashes, the suffix. A prefix whose last segment has no dot
# may take the suffix at once. So two prefixes never lead to one name, although one may begin with the other.
_PART = re.compile(r"\.[^./\\\x00]+\.(?:jpg|png)")
_NO_PART = re.compile(r"\.(?:jpg|png)")
# So many folders of an object store are listed and remembered at a time; records that follow one another share few.
_LISTINGS = 8


def check_name(name: str, images: str) -> None:
    """Make sure that an image's name is its item's own, as no other prefix of the plan leads to it; else ItemError."""
    if not _is_own(name, images):
        raise ItemError(f"an image is named {name!r}; expected {images}.<part>.jpg or .png, the part without . or /")


def _is_own(name: str, images: str) -> bool:
    if not name.startswith(images):
        return False
    rest = name[len(images) :]
    return bool(_PART.fullmatch(rest) or ("." not in images.rpartition("/")[2] and _NO_PART.fullmatch(rest)))


class ImageSizes:
    """Bytes of the images in a folder of a dataset, as they are now. An object store is asked a folder at a time."""

    def __init__(self, out: Folder, images: str) -> None:
        self._out, self._images = out, images
        self._listed = lru_cache(_LISTINGS)(lambda folder: {entry.name: entry.size for entry in _files(out, folder)})

    def of(self, record: Record) -> list[int]:
        """Return the bytes of the images a record shows, in its order; 0 for one that is missing."""
        return [self._size(f"{self._images}/{name}") for name in record.images()]

    def _size(self, name: str) -> int:
        if not isinstance(self._out, LocalFolder):
            return self._listed(name.rpartition("/")[0]).get(name, 0)
        try:
            # Of a million images, joining paths by pathlib would take longer than all the rest.
            return os.stat(f"{self._out.address}/{name}").st_size  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return 0


def remove_orphans(out: Folder, images: str, failed: Set[str], records: Iterable[bytes]) -> None:
    """Remove images that no record shows: what failed items left behind, in this run or in one that was killed.

    `failed` holds what the names of failed items' images start with; others may show them, too. `records` are all.
    """
    if not failed:
        return
    shown = {name for record in records for name in decode_record(record).images() if _is_of(name, failed)}
    for folder in sorted({prefix.rpartition("/")[0] for prefix in failed}):
        for entry in _files(out, f"{images}/{folder}" if folder else images):
            name = entry.name.removeprefix(f"{images}/")
            if _is_of(name, failed) and name not in shown:
                out.delete(entry.name)


def _files(out: Folder, folder: str) -> Iterator[Entry]:
    try:
        yield from (entry for entry in out.list(folder) if not entry.is_folder)
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_of(name: str, prefixes: Set[str]) -> bool:
    """Tell whether an image's name belongs to one of the prefixes."""
    stem = name.rpartition(".")[0]
    return any(prefix in prefixes and _is_own(name, prefix) for prefix in (stem, stem.rpartition(".")[0]))
