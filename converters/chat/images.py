"""Images as chat files name them (paths, data: URIs, cells of rows): read, and named in the dataset."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from ...schema.errors import ItemError
from ...schema.layout import IMAGES
from ...schema.record import ImagePath
from ...storage import Folder, name_key
from .messages import Cell, ImageRef

__all__ = ["ImageNames", "ImageSet", "check_image", "read_image"]

_DATA = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(?:bmp|gif|jpeg|jpg|png|ppm|tif|tiff|webp)$", re.IGNORECASE)


class ImageSet(NamedTuple):
    """How the images of one record are stored.

    Args:
        prefix: what all their names start with.
        shared: the same as other records' that show the same images; "" where they are this record's alone.
        names: each image's, without a suffix.
    """

    prefix: str
    shared: str = ""
    names: list[str] = []  # noqa: RUF012 - nobody adds to it


def check_image(image: ImageRef) -> None:
    """Make sure that an image is inside the input, or in the row itself.

    Raises:
        ItemError: it is elsewhere.
    """
    if isinstance(image, Cell) or _DATA.match(image):
        return
    if image[:5].lower() == "data:":
        raise ItemError(f"{_short(image)}: a data: URI that is not base64; expected data:image/png;base64,...")
    if "://" in image:
        raise ItemError(f"{image}: images are not fetched; put it below the input, and name its path there")
    try:
        msgspec.convert(_below(image), ImagePath)
    except msgspec.ValidationError:
        raise ItemError(f"{image}: no path below the input; expected one such as images/a.jpg, / between") from None


def read_image(folder: Folder, inside: str, image: str) -> bytes:
    """Return the bytes of an image.

    Args:
        folder: the input.
        inside: the folder in it that paths start from, "" for the input itself.
        image: a path or a data: URI that `check_image` lets pass.

    Raises:
        ItemError: there is none.
    """
    head = _DATA.match(image)
    if head:
        try:
            return base64.b64decode(image[head.end() :], validate=True)
        except binascii.Error as error:
            raise ItemError(f"{_short(image)}: damaged base64 ({error})") from None
    path = f"{inside}/{_below(image)}" if inside else _below(image)
    try:
        return folder.read(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ItemError(f"{path}: no such image in {folder.address}") from None
    except IsADirectoryError:
        raise ItemError(f"{path}: a folder, not an image") from None


class ImageNames:
    """Names for the images of records, in order.

    An image keeps its path as its name, a leading `images/` and the suffix left off, so that several records show one
    stored copy. That goes where the images of a record have one prefix (`train/page.0` and `train/page.1`) that no
    other file takes; all others are named for the record.
    """

    def __init__(self) -> None:
        # What took a name, and a prefix, by what file systems tell apart.
        self._files: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}

    def name(self, images: Sequence[ImageRef], otherwise: str) -> ImageSet:
        """Name the images of a record.

        Args:
            images: at least one and no two the same.
            otherwise: the prefix of images that cannot keep their paths.
        """
        kept = [_kept_name(image) for image in images]
        prefix, *others = {_prefix(name) for name in kept}
        if prefix and not others and self._take(prefix, kept, images):
            return ImageSet(prefix, prefix, kept)
        return ImageSet(otherwise, "", [f"{otherwise}.{number}" for number in range(len(images))])

    def _take(self, prefix: str, names: Sequence[str], images: Sequence[ImageRef]) -> bool:
        files = {name_key(name): _below(str(image)) for name, image in zip(names, images, strict=True)}
        free = len(files) == len(images) and all(self._files.get(key, path) == path for key, path in files.items())
        if not free or self._prefixes.setdefault(name_key(prefix), prefix) != prefix:
            return False
        self._files.update(files)
        return True


def _kept_name(image: ImageRef) -> str:
    """Return the name that an image's path gives it, "" where it has no path."""
    return (
        ""
        if isinstance(image, Cell) or _DATA.match(image)
        else _SUFFIX.sub("", _below(image).removeprefix(f"{IMAGES}/"))
    )


def _prefix(name: str) -> str:
    """Return the one prefix of an item that the engine lets have an image of this name, "" where there is none."""
    before, slash, last = name.rpartition("/")
    stem, dot, part = last.rpartition(".")
    return name if not dot else f"{before}{slash}{stem}" if stem and part else ""


def _below(image: str) -> str:
    return str(PurePosixPath(image)) if image.startswith("./") else image


def _short(image: str) -> str:
    return f"{image[:40]}..." if len(image) > 40 else image
