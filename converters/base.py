"""The contract between a source and the engine: find the raw samples, make a record of one.

A converter is a dataclass. Its field `input` is the folder of raw data; every other field is an option, with its
default, its bounds and its help in the annotation, so that the command line, the manifest and the checks all read the
same line::

    @dataclass(frozen=True)
    class Images:
        \"\"\"A folder of images, each with a caption beside it.\"\"\"

        name: ClassVar[str] = "images"
        input: Folder
        question: Annotated[str, "question about every image"] = "What is this?"

        def discover(self) -> Iterator[Item]:
            names = [entry.name for entry in self.input.list() if entry.name.endswith(".png")]
            for number, name in enumerate(names):
                id = f"train-{number:010d}"
                yield Item(id=id, split="train", path=name, file=name, images=f"train/{name}")

        def convert(self, item: Item, images: ImageSink) -> Record:
            shown = images.keep(f"{item.images}.0", self.input.read(item.file))
            answer = self.input.read(item.file + ".txt").decode()
            turn = Turn(images=[shown], user=self.question, assistant=answer)
            return Record(id=item.id, source=self.name, conversations=[turn])

The engine owns everything else: workers, journal, resume, quarantine, progress, files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import msgspec
from msgspec import Meta

from ..schema.record import Record
from ..storage import Folder

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One raw sample, as found; cheap to make and to keep.

    Args:
        id: its record's id, unique in the dataset.
        split: the split it belongs to.
        path: where it lies, for messages: a file of the input, or `train.jsonl:17` for a row. Never opened.
        file: the file of the input that `convert` opens; "" where `data` names what it opens.
        images: what the names of its images start with, unique among all items but those of one `shared`. The
            engine checks both, so that no two samples ever write different images to the same file.
        data: whatever else the converter wants to carry from discovery to conversion (plain JSON values).
        shared: the raw image (its path or key) that this item shows in common with others: those that name the same
            one may have the same `images`. It is stored once, so what is saved under one name must follow from
            `shared` and the options alone. Items that follow one another are given to the worker that has stored it.
        failure: why this sample cannot be converted, where discovery already knows (a row that is not valid JSON, a
            missing key): it is quarantined at the stage "discover", and no worker sees it.
    """

    id: Annotated[str, Meta(min_length=1)]
    split: Annotated[str, Meta(min_length=1)]
    path: str
    file: str = ""
    images: Annotated[str, Meta(min_length=1)]
    data: dict[str, Any] = {}
    shared: str = ""
    failure: str = ""


class ImageSink(Protocol):
    """Where a converter puts its images. The engine's options (--max-side, --image-format ...) apply to all."""

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Put an encoded image under the dataset's images/ and return the path a record shows it by.

        A plain RGB JPEG or PNG keeps its bytes; any other image is converted to one.

        Args:
            name: relative path without a suffix: the item's `images`, a dot, and a part without dots or slashes, such
                as `train/clip.0`. Where the last segment of `images` has no dot, `images` itself will do. So no
                two items can ever name the same image, unless they share it.
            data: a file's bytes, or what gives them: of a shared image it is not called where this worker has
                stored it already.

        Raises:
            MediaError: the bytes are not an image, damaged, or hold more pixels than an image may have.
        """

    def save(self, name: str, image: np.ndarray | Image.Image) -> str:
        """Encode decoded pixels under the dataset's images/ and return the path a record shows them by.

        Args:
            name: as for `keep`, and .jpg or .png: `train/clip.0.jpg`.
            image: uint8 [height, width, 3] RGB, or any PIL image.
        """


class Converter(Protocol):
    """A source of records. Implementations are dataclasses, see the module's text.

    It may say where its input comes from, too: `public_copy`, a class attribute, names what is fetched where none is
    given; a method `fetch_input()` returns the address of what it has fetched itself, as its options say;
    `takes_files` are suffixes of single files that are an input, such as `(".csv",)`.
    """

    name: ClassVar[str]

    @property
    def input(self) -> Folder:
        """The folder of raw data: a field, which may be frozen."""

    def discover(self) -> Iterator[Item]:
        """Find every raw sample, cheaply, in one fixed order that does not depend on the file system.

        Raises:
            InputError: the input is not what this source expects.
        """

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Make one record: a pure function of the item and the options, run in any worker.

        Raises:
            ItemError: this sample cannot be converted; the engine quarantines it and goes on.
        """


@dataclass(frozen=True)
class PublicCopy:
    """Where a source's public copy lies on the hub; a converter names it as the class attribute `public_copy`.

    Args:
        repo: the hub dataset.
        file: the archive in it, or a pattern such as `docvqa/*.parquet`: the files that make up the raw data.
        revision: a branch, tag or commit of the dataset.
    """

    repo: str
    file: str
    revision: str = "main"
