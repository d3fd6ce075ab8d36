"""Pictures as chat files name them (paths, data: URIs, cells of rows): read, and named in the dataset."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from ...schema.errors import ItemError
from ...schema.folder import Folder, name_key
from ...schema.layout import IMAGES
from ...schema.record import ImagePath
from .messages import Cell, Picture

__all__ = ["PictureNames", "PictureSet", "check_picture", "read_picture"]

_DATA = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(?:bmp|gif|jpeg|jpg|png|ppm|tif|tiff|webp)$", re.IGNORECASE)


class PictureSet(NamedTuple):
    """How the pictures of one record are stored.

    Args:
        prefix: what all their names start with.
        shared: the same as other records' that show the same pictures; "" where they are this record's alone.
        names: each picture's, without a suffix.
    """

    prefix: str
    shared: str = ""
    names: list[str] = []  # noqa: RUF012 - nobody adds to it


def check_picture(picture: Picture) -> None:
    """Make sure that a picture is inside the input, or in the row itself.

    Raises:
        ItemError: it is elsewhere.
    """
    if isinstance(picture, Cell) or _DATA.match(picture):
        return
    if picture[:5].lower() == "data:":
        raise ItemError(f"{_short(picture)}: a data: URI that is not base64; expected data:image/png;base64,...")
    if "://" in picture:
        raise ItemError(f"{picture}: pictures are not fetched; put it below the input, and name its path there")
    try:
        msgspec.convert(_below(picture), ImagePath)
    except msgspec.ValidationError:
        raise ItemError(f"{picture}: no path below the input; expected one such as images/a.jpg, / between") from None


def read_picture(folder: Folder, inside: str, picture: str) -> bytes:
    """Return the bytes of a picture.

    Args:
        folder: the input.
        inside: the folder in it that paths start from, "" for the input itself.
        picture: a path or a data: URI that `check_picture` lets pass.

    Raises:
        ItemError: there is none.
    """
    head = _DATA.match(picture)
    if head:
        try:
            return base64.b64decode(picture[head.end() :], validate=True)
        except binascii.Error as error:
            raise ItemError(f"{_short(picture)}: damaged base64 ({error})") from None
    path = f"{inside}/{_below(picture)}" if inside else _below(picture)
    try:
        return folder.read(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ItemError(f"{path}: no such picture in {folder.address}") from None
    except IsADirectoryError:
        raise ItemError(f"{path}: a folder, not a picture") from None


class PictureNames:
    """Names for the pictures of records, in order.

    A picture keeps its path as its name, a leading `images/` and the suffix left off, so that several records show one
    stored copy. That goes where the pictures of a record have one prefix (`train/page.0` and `train/page.1`) that no
    other file takes; all others are named for the record.
    """

    def __init__(self) -> None:
        # What took a name, and a prefix, by what file systems tell apart.
        self._files: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}

    def name(self, pictures: Sequence[Picture], otherwise: str) -> PictureSet:
        """Name the pictures of a record.

        Args:
            pictures: at least one and no two the same.
            otherwise: the prefix of pictures that cannot keep their paths.
        """
        kept = [_kept_name(picture) for picture in pictures]
        prefix, *others = {_prefix(name) for name in kept}
        if prefix and not others and self._take(prefix, kept, pictures):
            return PictureSet(prefix, prefix, kept)
        return PictureSet(otherwise, "", [f"{otherwise}.{number}" for number in range(len(pictures))])

    def _take(self, prefix: str, names: Sequence[str], pictures: Sequence[Picture]) -> bool:
        files = {name_key(name): _below(str(picture)) for name, picture in zip(names, pictures, strict=True)}
        free = len(files) == len(pictures) and all(self._files.get(key, path) == path for key, path in files.items())
        if not free or self._prefixes.setdefault(name_key(prefix), prefix) != prefix:
            return False
        self._files.update(files)
        return True


def _kept_name(picture: Picture) -> str:
    """Return the name that a picture's path gives it, "" where it has no path."""
    return (
        ""
        if isinstance(picture, Cell) or _DATA.match(picture)
        else _SUFFIX.sub("", _below(picture).removeprefix(f"{IMAGES}/"))
    )


def _prefix(name: str) -> str:
    """Return the one prefix of an item that the engine lets have a picture of this name, "" where there is none."""
    before, slash, last = name.rpartition("/")
    stem, dot, part = last.rpartition(".")
    return name if not dot else f"{before}{slash}{stem}" if stem and part else ""


def _below(picture: str) -> str:
    return str(PurePosixPath(picture)) if picture.startswith("./") else picture


def _short(picture: str) -> str:
    return f"{picture[:40]}..." if len(picture) > 40 else picture
