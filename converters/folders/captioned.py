"""Images with a text beside each, anywhere below a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from ...schema.errors import InputError, ItemError
from ...schema.splits import split_name
from ...storage import Folder
from .layouts import LabelledFile, Layout

__all__ = ["Captioned", "read_caption"]


@dataclass(frozen=True, kw_only=True)
class Captioned(Layout):
    """`<anything>/<image>` beside `<image's name><suffix>`, or `<stem><suffix>`.

    Args:
        suffix: of the texts, such as `.txt`.
        split_of: the split of an image by its path; None where the uppermost folder names it.
    """

    form: ClassVar[str] = "images with a text beside each"

    suffix: str
    split_of: Callable[[str], str] | None

    def labels(self) -> list[str]:
        """Name no class: the texts are the answers."""
        return []

    def files(self) -> Iterator[LabelledFile]:
        """Yield every image, by path."""
        found = False
        for path, text in self._images(self.base):
            found = True
            top, slash, _ = path.partition("/")
            if self.split_of is None and not slash:
                raise InputError(
                    f"{self.folder.address}/{path}: an image in no folder, where folders are the splits; "
                    "move it into one, or give --split-by ratio"
                )
            split = split_name(top) if self.split_of is None else self.split_of(path)
            failure = "" if text else f"no text beside it; expected {PurePosixPath(path).stem}{self.suffix}"
            # With its suffix: a.png and a.jpg are two images.
            yield LabelledFile(split, "", path, path, failure)
        if not found:
            raise InputError(f"{self.folder.address}: no {self.kind.noun} below it; {self._expected}")

    def _images(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield the images of a folder and of those below, each with the text beside it, "" where there is none."""
        entries = self.folder.list(name)
        beside = {entry.name for entry in entries if not entry.is_folder}
        for entry in entries:
            if entry.is_folder:
                yield from self._images(entry.name)
            elif self.kind.has(entry.name):
                yield entry.name, next((text for text in _texts(entry.name, self.suffix) if text in beside), "")


def _texts(image: str, suffix: str) -> tuple[str, str]:
    """Return how the text beside an image may be called."""
    return f"{PurePosixPath(image).with_suffix('')}{suffix}", f"{image}{suffix}"


def read_caption(folder: Folder, image: str, suffix: str) -> str:
    """Return the text beside an image.

    Raises:
        ItemError: there is none, it is not UTF-8, or empty.
    """
    for name in _texts(image, suffix):
        try:
            text = folder.read(name).decode("utf-8-sig").strip()
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            raise ItemError(f"{name}: not UTF-8; save the file in this encoding") from None
        if not text:
            raise ItemError(f"{name}: empty; expected the answer")
        return text
    raise ItemError(f"{image}: no text beside it; expected {PurePosixPath(image).stem}{suffix}")
