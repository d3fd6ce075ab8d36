"""The images of a conversion on disk: whose name is whose, are they as they were written, and which are orphaned."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from ...schema.errors import ItemError
from ...schema.record import Record, decode_record
from ...storage import Entry, Folder, LocalFolder

__all__ = ["ImageSizes", "check_name", "is_own", "remove_orphans"]

# After the item's own prefix: a dot, a part without dots or slashes, the suffix. A prefix whose last segment has no dot
# may take the suffix at once. So two prefixes never lead to one name, although one may begin with the other.
_PART = re.compile(r"\.[^./\\\x00]+\.(?:jpg|png)")
_NO_PART = re.compile(r"\.(?:jpg|png)")
# So many folders of an object store are listed and remembered at a time; records that follow one another share few.
_LISTINGS = 8


def is_own(name: str, images: str) -> bool:
    """Tell whether an image's name is that of an item whose names start with `images`."""
    if not name.startswith(images):
        return False
    rest = name[len(images) :]
    if _PART.fullmatch(rest):
        return True
    return "." not in images.rpartition("/")[2] and _NO_PART.fullmatch(rest) is not None


def check_name(name: str, images: str) -> None:
    """Make sure that an image's name is its item's own: no other prefix of the plan leads to it.

    Raises:
        ItemError: it is not.
    """
    if not is_own(name, images):
        raise ItemError(f"an image is named {name!r}; expected {images}.<part>.jpg or .png, the part without . or /")


class ImageSizes:
    """Bytes of the images in a folder of a dataset, as they are now. An object store is asked a folder at a time."""

    def __init__(self, out: Folder, images: str) -> None:
        self._out, self._images = out, images
        self._listed = lru_cache(_LISTINGS)(lambda folder: {entry.name: entry.size for entry in _files(out, folder)})

    def of(self, record: Record) -> list[int]:
        """Return the bytes of the images a record shows, in its order; 0 for one that is missing."""
        return [self._size(f"{self._images}/{name}") for name in record.images()]

    def are(self, record: Record, written: Sequence[int]) -> bool:
        """Tell whether the images of a record are there with the sizes that were written."""
        return self.of(record) == list(written)

    def _size(self, name: str) -> int:
        if not isinstance(self._out, LocalFolder):
            return self._listed(name.rpartition("/")[0]).get(name, 0)
        try:
            # Of a million images, joining paths by pathlib would take longer than all the rest.
            return os.stat(f"{self._out.address}/{name}").st_size  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return 0


def remove_orphans(
    out: Folder, images: str, failed: Mapping[str, bool], records: Callable[[], Iterable[bytes]]
) -> None:
    """Remove images that no record shows: what failed items left behind, in this run or in one that was killed.

    Args:
        out: the dataset folder.
        images: the folder in it that images go to.
        failed: what the names of failed items' images start with, and whether other items may show them, too.
        records: gives every record of the dataset.
    """
    if not failed:
        return
    is_any_shared = any(failed.values())
    names = (name for record in (records() if is_any_shared else ()) for name in decode_record(record).images())
    shown = {name for name in names if _owner(name, failed) is not None}
    for folder in sorted({prefix.rpartition("/")[0] for prefix in failed}):
        for entry in _files(out, f"{images}/{folder}" if folder else images):
            name = entry.name.removeprefix(f"{images}/")
            if _owner(name, failed) is not None and name not in shown:
                out.delete(entry.name)


def _files(out: Folder, folder: str) -> Iterator[Entry]:
    try:
        entries = out.list(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (entry for entry in entries if not entry.is_folder)


def _owner(name: str, prefixes: Mapping[str, object]) -> str | None:
    """Return which of the prefixes an image's name belongs to."""
    stem = name.rpartition(".")[0]
    candidates = (stem, stem.rpartition(".")[0])
    return next((prefix for prefix in candidates if prefix in prefixes and is_own(name, prefix)), None)
