"""Where a worker puts an item's pictures."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from ...schema.errors import ItemError
from ...schema.folder import Folder, name_key
from ...schema.record import Record
from ..base import Item
from . import faults
from .messages import Job

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["SharedPictures", "Sink", "check_name", "is_own"]

# How many shared pictures a worker remembers: enough for items that follow one another.
_REMEMBERED = 64


class _Stored(NamedTuple):
    path: str
    size: int


class SharedPictures:
    """The shared pictures that a worker stored last, by what is shared and by the name it was kept under."""

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[str, str], _Stored] = OrderedDict()

    def find(self, shared: str, name: str) -> _Stored | None:
        """Return where a picture was stored, and its size in bytes; None where it was not, or is forgotten."""
        found = self._stored.get((shared, name))
        if found is not None:
            self._stored.move_to_end((shared, name))
        return found

    def note(self, shared: str, name: str, path: str, size: int) -> None:
        """Remember a picture; the one that was asked for least recently is forgotten for it."""
        self._stored[shared, name] = _Stored(path, size)
        if len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)


class Sink:
    """Encodes an item's pictures and puts them into the dataset; see `ImageSink`.

    Args:
        item: whose pictures they are.
        out: the dataset folder.
        job: where in it pictures go to, and how they are stored.
        shared: what this worker has stored of shared pictures.

    Attributes:
        stage: what it is at, as a failure names it.
        saved: size in bytes of every picture the item has saved, by name.
    """

    def __init__(self, item: Item, out: Folder, job: Job, shared: SharedPictures) -> None:
        self.stage = "convert"
        self.saved: dict[str, int] = {}
        self._item = item
        self._out = out
        self._job = job
        self._shared = shared
        self._keys: set[str] = set()

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Store an encoded picture; see `ImageSink`."""
        from ..media.pictures.store import stored_picture

        known = self._shared.find(self._item.shared, name) if self._item.shared else None
        if known is not None:
            self._claim(known.path)
            self.saved[known.path] = known.size
            return known.path
        raw = data() if callable(data) else data
        self.stage = "encode"
        try:
            stored = stored_picture(raw, self._job.pictures)
        except ItemError as error:
            # An item may show several, and its path be that of a row.
            raise type(error)(f"{name}: {error}") from error
        path = self._write(name + stored.suffix, stored.data)
        if self._item.shared:
            self._shared.note(self._item.shared, name, path, len(stored.data))
        return path

    def save(self, name: str, picture: np.ndarray | Image.Image) -> str:
        """Encode and store pixels; see `ImageSink`."""
        from ..media.pictures.store import stored_pixels

        check_name(name, self._item.pictures)
        suffix = PurePosixPath(name).suffix
        self.stage = "encode"
        stored = stored_pixels(picture, suffix, self._job.pictures)
        return self._write(name.removesuffix(suffix) + stored.suffix, stored.data)

    def _claim(self, name: str) -> None:
        check_name(name, self._item.pictures)
        if name_key(name) in self._keys:
            raise ItemError(f"the picture {name!r} was saved twice")
        self._keys.add(name_key(name))

    def _write(self, name: str, data: bytes) -> str:
        self.stage = "convert"
        self._claim(name)
        self.stage = "write"
        with self._out.create(f"{self._job.folder}/{name}") as stream:
            faults.write(stream, data, "picture-half-written")
        faults.point("picture-written")
        self.stage = "convert"
        self.saved[name] = len(data)
        return name

    def discard(self) -> None:
        """Remove what was saved. Shared pictures stay until the end, for others may show them."""
        if not self._item.shared:
            for name in self.saved:
                self._out.delete(f"{self._job.folder}/{name}")

    def sizes_of(self, record: Record) -> list[int]:
        """Return the bytes of the pictures a record shows, in its order."""
        return [self.saved[name] for name in record.images()]


# After the item's own prefix: a dot, a part without dots or slashes, the suffix. A prefix whose last segment has no dot
# may take the suffix at once. So two prefixes never lead to one name, although one may begin with the other.
_PART = re.compile(r"\.[^./\\\x00]+\.(?:jpg|png)")
_NO_PART = re.compile(r"\.(?:jpg|png)")


def is_own(name: str, pictures: str) -> bool:
    """Tell whether a picture's name is that of an item whose names start with `pictures`."""
    if not name.startswith(pictures):
        return False
    rest = name[len(pictures) :]
    if _PART.fullmatch(rest):
        return True
    return "." not in pictures.rpartition("/")[2] and _NO_PART.fullmatch(rest) is not None


def check_name(name: str, pictures: str) -> None:
    """Make sure that a picture's name is its item's own: no other prefix of the plan leads to it.

    Raises:
        ItemError: it is not.
    """
    if not is_own(name, pictures):
        raise ItemError(f"a picture is named {name!r}; expected {pictures}.<part>.jpg or .png, the part without . or /")
