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
or by the folder above the classes; see docs/sources/image-folder.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.errors import MediaError
from ...schema.record import Record
from ..base import ImageSink, Item
from ..folders.class_folders import IMAGES, Kind
from ..folders.labelled_folder import LabelledFolder, LabelPrompt

__all__ = ["ImageFolder"]


@dataclass(frozen=True, kw_only=True)
class ImageFolder(LabelledFolder):
    """Images in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "image-folder"
    kind: ClassVar[Kind] = IMAGES

    prompt: LabelPrompt = ("Classify the image into one of the following classes: {{ labels | join(', ') }}.",)
    seed: Annotated[int, Meta(description="one of several prompts is drawn by it")] = 0

    @property
    def prompt_seed(self) -> int:
        """The option `seed`."""
        return self.seed

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show an image, ask for its class.

        Raises:
            MediaError: it is missing, a folder, or no image.
        """
        name = PurePosixPath(item.file).name
        try:
            data = self.input.read(item.file)
        except FileNotFoundError:
            raise MediaError(f"{name}: no such image, though it was there before") from None
        except IsADirectoryError:
            raise MediaError(f"{name}: a folder, not an image") from None
        shown = images.keep(f"{item.images}.0", data)
        origin = {"image": self.below_base(item), "sha256": hashlib.sha256(data).hexdigest()}
        return self.record(item, [shown], origin)
