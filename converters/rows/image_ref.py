"""An image somewhere in the raw data, and the one reader of its bytes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TypeAlias

import msgspec

from ...schema.errors import ItemError, MediaError
from ...schema.record import ImagePath
from ...storage import Folder
from .row_images import RowImages

__all__ = ["CellReader", "ImageReader", "ImageRef", "Steps", "path_in_input"]

Steps: TypeAlias = tuple[str | int, ...]

_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


class ImageRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the bytes of an image are: in a file of the input, in a cell of a table, or in a data: URI.

    Args:
        path: a file of the input, or a data: URI; of a cell, the path beside its bytes; "" where there is none.
        file: the file whose row names the image: its folder is where a path starts, or else the input.
        row: number of that row, from 0.
        column: the column whose cell holds the bytes, "" where no cell does.
        steps: keys and indexes that lead from the cell to the bytes.
    """

    path: str = ""
    file: str = ""
    row: int = 0
    column: str = ""
    steps: Steps = ()

    @property
    def is_file(self) -> bool:
        """Whether the bytes are a file of the input."""
        return not self.column and not _DATA_URI.match(self.path)


def path_in_input(text: str, root: str = "") -> str:
    """Return the path of a file that a row names, or its data: URI.

    Args:
        text: as the row has it.
        root: the input's address; a path may start with it.

    Raises:
        ItemError: it is an address elsewhere, or a path that leaves the input.
    """
    if _DATA_URI.match(text):
        return text
    short = text if len(text) <= 60 else f"{text[:57]}..."
    if text[:5].lower() == "data:":
        raise ItemError(f"{short}: a data: URI that is not base64; expected data:image/png;base64,...")
    inside = text.removeprefix(f"{root}/") if root else text
    if "://" in inside:
        raise ItemError(f"{short}: images are not fetched; put it below the input, and name its path there")
    path = PurePosixPath(inside).as_posix()
    try:
        return msgspec.convert(path, ImagePath)
    except msgspec.ValidationError:
        where = f"outside the input {root}" if root else "not a path below the input"
        raise ItemError(f"{short}: {where}; expected one such as images/a.jpg, with / between") from None


# What reads the bytes in a table's cells: by the table, the row from 0, the column, and the steps from there.
CellReader: TypeAlias = Callable[[str, int, str, Steps], bytes]


class ImageReader:
    """Reads images wherever they are; one a worker.

    Args:
        folder: the input.
        cells: reads the bytes in the cells of tables, or raises ItemError; by default, tables are files of the input.
        fetch: called with the path of a file that the input does not hold; without, such a file is missing.
    """

    def __init__(
        self, folder: Folder, cells: CellReader | None = None, fetch: Callable[[str], bytes] | None = None
    ) -> None:
        self.folder = folder
        self._read_cell = cells or RowImages(folder).read
        self._fetch = fetch

    def read(self, image: ImageRef) -> bytes:
        """Return the bytes of an image.

        Raises:
            MediaError: there is no such image.
            ItemError: a cell holds no bytes, or a data: URI is damaged.
        """
        if image.column:
            try:
                return self._read_cell(image.file, image.row, image.column, image.steps)
            except ItemError:
                if not image.path:
                    raise
        if head := _DATA_URI.match(image.path):
            try:
                return base64.b64decode(image.path[head.end() :], validate=True)
            except binascii.Error as error:
                raise ItemError(f"{image.path[:40]}...: damaged base64 ({error})") from None
        path = self.path_of(image)
        try:
            return self.folder.read(path)
        except (FileNotFoundError, NotADirectoryError):
            if self._fetch is not None:
                return self._fetch(path)
            raise MediaError(f"{path}: no such image in the input") from None
        except IsADirectoryError:
            raise MediaError(f"{path}: a folder, not an image") from None

    def path_of(self, image: ImageRef) -> str:
        """Return the path in the input of an image that is a file."""
        beside = (PurePosixPath(image.file).parent / image.path).as_posix() if image.file else image.path
        return beside if beside == image.path or self.folder.exists(beside) else image.path
