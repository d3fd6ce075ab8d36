"""Where a worker puts an item's images."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from ...schema.errors import ItemError
from ...schema.record import Record
from ...storage import Folder, name_key
from ..base import Item
from . import faults
from .messages import Job

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["SharedImages", "Sink", "check_name", "is_own"]

# How many shared images a worker remembers: enough for items that follow one another.
_REMEMBERED = 64


class _Stored(NamedTuple):
    path: str
    size: int


class SharedImages:
    """The shared images that a worker stored last, by what is shared and by the name it was kept under."""

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[str, str], _Stored] = OrderedDict()

    def find(self, shared: str, name: str) -> _Stored | None:
        """Return where an image was stored, and its size in bytes; None where it was not, or is forgotten."""
        found = self._stored.get((shared, name))
        if found is not None:
            self._stored.move_to_end((shared, name))
        return found

    def note(self, shared: str, name: str, path: str, size: int) -> None:
        """Remember an image; the one that was asked for least recently is forgotten for it."""
        self._stored[shared, name] = _Stored(path, size)
        if len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)


class Sink:
    """Encodes an item's images and puts them into the dataset; see `ImageSink`.

    Args:
        item: whose images they are.
        out: the dataset folder.
        job: where in it images go to, and how they are stored.
        shared: what this worker has stored of shared images.

    Attributes:
        stage: what it is at, as a failure names it.
        saved: size in bytes of every image the item has saved, by name.
    """

    def __init__(self, item: Item, out: Folder, job: Job, shared: SharedImages) -> None:
        self.stage = "convert"
        self.saved: dict[str, int] = {}
        self._item = item
        self._out = out
        self._job = job
        self._shared = shared
        self._keys: set[str] = set()

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Store an encoded image; see `ImageSink`."""
        from ..images.store import stored_image

        known = self._shared.find(self._item.shared, name) if self._item.shared else None
        if known is not None:
            self._claim(known.path)
            self.saved[known.path] = known.size
            return known.path
        raw = data() if callable(data) else data
        self.stage = "encode"
        try:
            stored = stored_image(raw, self._job.images)
        except ItemError as error:
            # An item may show several, and its path be that of a row.
            raise type(error)(f"{name}: {error}") from error
        path = self._write(name + stored.suffix, stored.data)
        if self._item.shared:
            self._shared.note(self._item.shared, name, path, len(stored.data))
        return path

    def save(self, name: str, image: np.ndarray | Image.Image) -> str:
        """Encode and store pixels; see `ImageSink`."""
        from ..images.store import stored_pixels

        check_name(name, self._item.images)
        suffix = PurePosixPath(name).suffix
        self.stage = "encode"
        stored = stored_pixels(image, suffix, self._job.images)
        return self._write(name.removesuffix(suffix) + stored.suffix, stored.data)

    def _claim(self, name: str) -> None:
        check_name(name, self._item.images)
        if name_key(name) in self._keys:
            raise ItemError(f"the image {name!r} was saved twice")
        self._keys.add(name_key(name))

    def _write(self, name: str, data: bytes) -> str:
        self.stage = "convert"
        self._claim(name)
        self.stage = "write"
        with self._out.create(f"{self._job.folder}/{name}") as stream:
            faults.write(stream, data, "image-half-written")
        faults.point("image-written")
        self.stage = "convert"
        self.saved[name] = len(data)
        return name

    def discard(self) -> None:
        """Remove what was saved. Shared images stay until the end, for others may show them."""
        if not self._item.shared:
            for name in self.saved:
                self._out.delete(f"{self._job.folder}/{name}")

    def sizes_of(self, record: Record) -> list[int]:
        """Return the bytes of the images a record shows, in its order."""
        return [self.saved[name] for name in record.images()]


# After the item's own prefix: a dot, a part without dots or slashes, the suffix. A prefix whose last segment has no dot
# may take the suffix at once. So two prefixes never lead to one name, although one may begin with the other.
_PART = re.compile(r"\.[^./\\\x00]+\.(?:jpg|png)")
_NO_PART = re.compile(r"\.(?:jpg|png)")


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
