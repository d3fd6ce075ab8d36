"""What `--fix` repairs: texts and paths in a record, suffix and orientation of an image."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from ..dataset import Dataset
from ..layout import IMAGES
from ..rules.files import SUFFIXES
from ..rules.lean import LeanTurn
from ..rules.text import CONTROL_CHARACTERS

REPAIRED = {
    "R102": "the byte order mark is left away",
    "F203": "backslashes in paths become slashes",
    "F211": "images are named by what they are, and records follow",
    "T404": "control characters are taken out",
    "T405": "texts are brought into Unicode's composed form",
    "P305": "pixels are turned as EXIF asks, and the tag is taken out",
}
"""The rules whose findings are repaired, and how."""

_ORIENTATION = 0x0112
# From this orientation on, width and height change places.
_SIDES_SWAPPED = 5


def repaired_text(text: str, codes: Iterable[str]) -> str:
    """Return a text without what the rules of these codes find in texts."""
    if "T404" in codes:
        text = CONTROL_CHARACTERS.sub("", text)
    return unicodedata.normalize("NFC", text) if "T405" in codes else text


def repaired_turn(turn: LeanTurn, codes: Iterable[str]) -> LeanTurn:
    """Return a turn without what the rules of these codes find in its texts and its paths."""
    changes: dict[str, Any] = {
        "user": repaired_text(turn.user, codes),
        "assistant": repaired_text(turn.assistant, codes),
    }
    if turn.answers is not UNSET:
        changes["answers"] = [repaired_text(answer, codes) for answer in turn.answers]
    if turn.images is not UNSET and "F203" in codes:
        changes["images"] = [name.replace("\\", "/") for name in turn.images]
    return replace(turn, **changes)


class NewNames:
    """The names of images that are called what they are not.

    Args:
        dataset: they are of.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._folder = dataset.folder
        self._given: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def name_for(self, name: str, form: str) -> str:
        """Return another name for an image, which no other image has; the same one whenever it is asked for.

        Args:
            name: its path, relative to `images/`.
            form: Pillow's name of its format.
        """
        if (name, form) not in self._given:
            path, suffix = PurePosixPath(name), SUFFIXES[form][0]
            new = str(path.with_suffix(suffix))
            if self._is_taken(new):
                # The whole old name in front: nobody else's, but for files that were made to be in the way.
                new = f"{name}{suffix}"
            while self._is_taken(new):
                new = f"{new.removesuffix(suffix)}_{suffix}"
            self._given[name, form] = new
            self._taken.add(new)
        return self._given[name, form]

    def _is_taken(self, name: str) -> bool:
        return name in self._taken or self._folder.exists(f"{IMAGES}/{name}")


def upright(data: bytes) -> bytes:
    """Return an image with its pixels turned as its EXIF data asks; the same bytes where it asks for nothing.

    A JPEG is compressed again with its own quantization tables, which costs next to nothing where its sides are whole
    blocks, and once more what it cost the first time at the edges where they are not; all else is written without loss.

    Raises:
        OSError: it cannot be decoded, or not be written in its format.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data)) as image:
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return data
        options = _options(image)
        turned = ImageOps.exif_transpose(image)
    exif = turned.getexif()
    exif.pop(_ORIENTATION, None)
    if len(exif):
        options["exif"] = exif.tobytes()
    turned.info.pop("exif", None)
    buffer = io.BytesIO()
    try:
        turned.save(buffer, image.format, **options)
    except (KeyError, ValueError) as error:
        raise OSError(f"cannot be written as {image.format} ({error})") from error
    return buffer.getvalue()


def _options(image: Any) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if image.info.get("icc_profile"):
        options["icc_profile"] = image.info["icc_profile"]
    if image.format in ("JPEG", "MPO"):
        from PIL import JpegImagePlugin

        tables = image.quantization
        if image.getexif().get(_ORIENTATION, 1) >= _SIDES_SWAPPED:
            # Rows become columns, in the frequencies of a block (8 x 8 of them) as well.
            tables = {
                key: [table[8 * row + column] for column in range(8) for row in range(8)]
                for key, table in tables.items()
            }
        options |= {"qtables": tables, "subsampling": JpegImagePlugin.get_sampling(image)}
    elif image.format == "WEBP":
        options["lossless"] = True
    elif image.format == "TIFF":
        options["compression"] = image.info.get("compression", "raw")
    return options
