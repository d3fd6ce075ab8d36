"""Images in folders by class: what does the image show?

One raw sample is one image. Its folder is its class; a part of its name may tell which images belong together, such
as those of one patient, or one product::

    scratched/part-0193_top.png

With `--group '^part-(\\d+)_'` it becomes::

    {"id": "test-0000000004", "source": "image-folder",
     "conversations": [{"images": ["test/scratched/part-0193_top.0.png"],
                        "user": "Classify the image into one of the following classes: flawless, scratched.",
                        "assistant": "scratched"}],
     "meta": {"group": "0193", "label": "scratched", "image": "scratched/part-0193_top.png", "sha256": "..."}}

The split is decided by the hash of the group (or of `<Class>/<file>`, where no group is asked for), by lists of files,
or by the folder above the classes. With `--captions .txt` the text beside each image is the answer, and folders mean
nothing; see docs/sources/image-folder.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from ...schema.errors import UsageError
from ...schema.record import Record
from ..base import ImageSink, Item
from ..folders.captioned import Captioned, read_caption
from ..folders.labelled_folder import LabelPrompt, SplitFolder
from ..folders.layouts import IMAGES, Kind, Layout
from ..prompts import Prompts
from ..sample import Sample

__all__ = ["ImageFolder"]


@dataclass(frozen=True, kw_only=True)
class ImageFolder(SplitFolder):
    """Images in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "image-folder"
    kind: ClassVar[Kind] = IMAGES

    prompt: LabelPrompt = ("Classify the image into one of the following classes: {{ labels | join(', ') }}.",)
    seed: Annotated[int, Meta(description="seed of what is drawn: the splits by ratio, one of several prompts")] = 0
    captions: Annotated[
        str,
        Meta(description="suffix of the text beside each image, such as .txt; it is the answer, in place of the class"),
    ] = ""

    def __post_init__(self) -> None:
        """Refuse options that cannot work before anything is read."""
        if self.captions and (self.split_by == "file" or self.stratify):
            option = "--stratify" if self.stratify else "--split-by file"
            raise UsageError(f"{option} is for classes, and --captions has none; leave it out")
        super().__post_init__()

    def find_layout(self) -> Layout:
        """Tell how the images lie in the input."""
        if not self.captions:
            return super().find_layout()
        by_folder = self.split_by == "folder"
        return Captioned(folder=self.input, kind=self.kind, inside="", suffix=self.captions, by_folder=by_folder)

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show an image, and ask for its class or its description.

        Raises:
            ItemError: the text beside it is missing or empty.
            MediaError: the image is missing or damaged.
        """
        if not self.captions:
            return super().convert(item, images)
        caption = read_caption(self.input, Sample.of(item).images[0].path, self.captions)
        record = super().convert(item, images)
        (turn,) = record.conversations
        return replace(record, conversations=[replace(turn, assistant=caption)])

    @cached_property
    def _prompts(self) -> Prompts:
        if not self.captions:
            return super()._prompts
        prompts = ("Describe the image.",) if self.prompt == type(self).prompt else self.prompt
        return Prompts(prompts, self.seed, names=[])
