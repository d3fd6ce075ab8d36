"""Images in folders by class: what does the image show?

One raw sample is one image. Its folder is its class; a part of its name may tell which images belong together, such
as those of one patient, or one product, here with `--group '^part-(\\d+)_'`::

    scratched/part-0193_top.png

The split is decided by the hash of the group (or of `<Class>/<file>`, where no group is asked for), by lists of files,
or by the folder above the classes. With `--captions .txt` the text beside each image is the answer, and folders mean
nothing; see docs/sources/image-folder.md, also for the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from msgspec.structs import replace

from ...schema.errors import ItemError, UsageError
from ...schema.record import Record
from ...schema.splits import split_name
from ..base import ImageSink, Item
from ..folders.labelled_folder import LabelPrompt, SplitFolder
from ..folders.layouts import IMAGES, Kind, LabelledFile, Layout
from ..prompts import Prompts
from ..sample import Sample


@dataclass(frozen=True, kw_only=True)
class ImageFolder(SplitFolder):
    """Images in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "image-folder"
    kind: ClassVar[Kind] = IMAGES

    prompt: LabelPrompt = ("Classify the image into one of the following classes: {{ labels | join(', ') }}.",)
    seed: Annotated[int, "seed of what is drawn: the splits by ratio, one of several prompts"] = 0
    captions: Annotated[
        str, "suffix of the text beside each image, such as .txt; it is the answer, in place of the class"
    ] = ""

    def __post_init__(self) -> None:
        if self.captions and (self.split_by == "file" or self.stratify):
            option = "--stratify" if self.stratify else "--split-by file"
            raise UsageError(f"{option} is for classes, and --captions has none; leave it out")
        super().__post_init__()

    @cached_property
    def layout(self) -> Layout:
        """How the images lie in the input."""
        if not self.captions:
            return super().layout
        by_folder = self.split_by == "folder"
        return _Captioned(folder=self.input, kind=self.kind, inside="", suffix=self.captions, by_folder=by_folder)

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show an image, and ask for its class or its description.

        Raises:
            ItemError: the text beside it is missing, not UTF-8, or empty.
            MediaError: the image is missing or damaged.
        """
        caption = self._caption(Sample.of(item).images[0].path) if self.captions else ""
        record = super().convert(item, images)
        (turn,) = record.conversations
        return replace(record, conversations=[replace(turn, assistant=caption)]) if caption else record

    def _caption(self, image: str) -> str:
        for name in _texts(image, self.captions):
            try:
                text = self.input.read(name).decode("utf-8-sig").strip()
            except FileNotFoundError:
                continue
            except UnicodeDecodeError:
                raise ItemError(f"{name}: not UTF-8; save the file in this encoding") from None
            if not text:
                raise ItemError(f"{name}: empty; expected the answer")
            return text
        raise ItemError(f"{image}: {_no_text(image, self.captions)}")

    @cached_property
    def _prompts(self) -> Prompts:
        if not self.captions:
            return super()._prompts
        prompts = ("Describe the image.",) if self.prompt == type(self).prompt else self.prompt
        return Prompts(prompts, self.seed, names=[])


@dataclass(frozen=True, kw_only=True)
class _Captioned(Layout):
    """`<anything>/<image>` beside its answer, `<image's name><suffix>` or `<stem><suffix>`."""

    form: ClassVar[str] = "images with a text beside each"

    suffix: str
    by_folder: bool  # whether the uppermost folder names the split

    def labels(self) -> list[str]:
        return []

    def files(self) -> Iterator[LabelledFile]:
        found = False
        for path, has_text in self._images(self.base):
            found = True
            top, slash, _ = path.partition("/")
            if self.by_folder and not slash:
                where = "an image in no folder, where folders are the splits"
                raise self._refused(path, f"{where}; move it into one, or give --split-by ratio")
            failure = "" if has_text else _no_text(path, self.suffix)
            # With its suffix: a.png and a.jpg are two images.
            yield LabelledFile(split_name(top) if self.by_folder else None, "", path, path, failure)
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
