"""Images with a text beside each, anywhere below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from ...schema.errors import ItemError
from ...schema.splits import split_name
from ...storage import Folder
from .layouts import LabelledFile, Layout

__all__ = ["Captioned", "read_caption"]


@dataclass(frozen=True, kw_only=True)
class Captioned(Layout):
    """`<anything>/<image>` beside `<image's name><suffix>`, or `<stem><suffix>`.

    Args:
        suffix: of the texts, such as `.txt`.
        by_folder: whether the uppermost folder names the split.
    """

    form: ClassVar[str] = "images with a text beside each"

    suffix: str
    by_folder: bool

    def labels(self) -> list[str]:
        """Name no class: the texts are the answers."""
        return []

    def files(self) -> Iterator[LabelledFile]:
        """Yield every image, by path."""
        found = False
        for path, has_text in self._images(self.base):
            found = True
            top, slash, _ = path.partition("/")
            if self.by_folder and not slash:
                where = "an image in no folder, where folders are the splits"
                raise self._refused(path, f"{where}; move it into one, or give --split-by ratio")
            failure = "" if has_text else _no_text(path, self.suffix)
            # With its suffix: a.png and a.jpg are two images.
            yield LabelledFile(split_name(top) if self.by_folder else "", "", path, path, failure)
        if not found:
            raise self._refused("", f"no {self.kind.noun} below it; {self._expected}")

    def _images(self, name: str) -> Iterator[tuple[str, bool]]:
        """Yield the images of a folder and of those below, and whether there is a text beside each."""
        entries = self.folder.list(name)
        beside = {entry.name for entry in entries if not entry.is_folder}
        for entry in entries:
            if entry.is_folder:
                yield from self._images(entry.name)
            elif self.kind.has(entry.name):
                yield entry.name, not beside.isdisjoint(_texts(entry.name, self.suffix))


def _texts(image: str, suffix: str) -> tuple[str, str]:
    """Return how the text beside an image may be called."""
    return f"{PurePosixPath(image).with_suffix('')}{suffix}", f"{image}{suffix}"


def _no_text(image: str, suffix: str) -> str:
    return f"no text beside it; expected {PurePosixPath(image).stem}{suffix}"


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
    raise ItemError(f"{image}: {_no_text(image, suffix)}")
