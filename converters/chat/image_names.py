"""Names in the dataset for the images of chat rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...schema.layout import IMAGES
from ...storage import name_key
from ..rows.image_ref import ImageRef

_SUFFIX = re.compile(r"\.(?:bmp|gif|jpeg|jpg|png|ppm|tif|tiff|webp)$", re.IGNORECASE)


class ImageSet(NamedTuple):
    """How the images of one record are stored: their common prefix, `Item.shared`, and each one's name."""

    prefix: str
    shared: str
    names: list[str]


class ImageNames:
    """Names for the images of records, in order.

    An image keeps its path as its name, a leading `images/` and the suffix left off, so that several records show one
    stored copy. That works where the images of a record have one prefix (`train/page.0` and `train/page.1`) that no
    other file takes; all others are named for the record.
    """

    def __init__(self) -> None:
        # What took a name, and a prefix, by what file systems tell apart.
        self._files: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}

    def name(self, images: Sequence[ImageRef], otherwise: str) -> ImageSet:
        """Name the images of a record, no two the same; those that cannot keep their paths get the other prefix."""
        # The name that an image's path gives it, "" where it has no path.
        paths = [image.path.removeprefix(f"{IMAGES}/") if image.is_file else "" for image in images]
        kept = [_SUFFIX.sub("", path) for path in paths]
        prefixes = {_prefix(name) for name in kept}
        prefix = prefixes.pop() if len(prefixes) == 1 else ""
        if prefix and self._take(prefix, kept, images):
            return ImageSet(prefix, prefix, kept)
        return ImageSet(otherwise, "", [f"{otherwise}.{number}" for number in range(len(images))])

    def _take(self, prefix: str, names: Sequence[str], images: Sequence[ImageRef]) -> bool:
        files = {name_key(name): image.path for name, image in zip(names, images, strict=True)}
        free = len(files) == len(images) and all(self._files.get(key, path) == path for key, path in files.items())
        if not free or self._prefixes.setdefault(name_key(prefix), prefix) != prefix:
            return False
        self._files.update(files)
        return True


def _prefix(name: str) -> str:
    """Return the one prefix of an item that the engine lets have an image of this name, "" where there is none."""
    before, slash, last = name.rpartition("/")
    stem, dot, part = last.rpartition(".")
    return name if not dot else f"{before}{slash}{stem}" if stem and part else ""
