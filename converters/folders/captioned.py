"""Images with a text beside each, anywhere below a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from ...schema.errors import InputError, ItemError
from ...schema.splits import split_name
from ...storage import Folder
from .class_folders import Kind
from .layouts import LabelledFile, Layout

__all__ = ["Captioned", "read_caption"]


class Captioned(Layout):
    """`<anything>/<image>` beside `<image's name><suffix>`, or `<stem><suffix>`.

    Args:
        folder: the input.
        kind: of the images.
        suffix: of the texts, such as `.txt`.
        split_of: the split of an image by its path; None where the uppermost folder names it.
    """

    form = "images with a text beside each"

    def __init__(self, folder: Folder, kind: Kind, suffix: str, split_of: Callable[[str], str] | None) -> None:
        super().__init__(folder, kind, base="")
        self._suffix = suffix
        self._split_of = split_of

    def labels(self) -> list[str]:
        """Name no class: the texts are the answers."""
        return []

    def files(self) -> Iterator[LabelledFile]:
        """Yield every image, by path."""
        found = False
        for path, text in self._images(""):
            found = True
            top, slash, _ = path.partition("/")
            if self._split_of is None and not slash:
                raise InputError(
                    f"{self._folder.address}/{path}: an image in no folder, where folders are the splits; "
                    "move it into one, or give --split-by ratio"
                )
            split = split_name(top) if self._split_of is None else self._split_of(path)
            failure = "" if text else f"no text beside it; expected {PurePosixPath(path).stem}{self._suffix}"
            # With its suffix: a.png and a.jpg are two images.
            yield LabelledFile(split, "", path, path, failure)
        if not found:
            raise InputError(f"{self._folder.address}: no {self._kind.noun} below it; {self._expected}")

    def _images(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield the images of a folder and of those below, each with the text beside it, "" where there is none."""
        entries = self._folder.list(name)
        beside = {entry.name for entry in entries if not entry.is_folder}
        for entry in entries:
            if entry.is_folder:
                yield from self._images(entry.name)
            elif self._kind.has(entry.name):
                names = (f"{PurePosixPath(entry.name).with_suffix('')}{self._suffix}", f"{entry.name}{self._suffix}")
                yield entry.name, next((text for text in names if text in beside), "")


def read_caption(folder: Folder, image: str, suffix: str) -> str:
    """Return the text beside an image.

    Raises:
        ItemError: there is none, it is not UTF-8, or empty.
    """
    for name in (f"{PurePosixPath(image).with_suffix('')}{suffix}", f"{image}{suffix}"):
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
