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

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from ..folders.class_folders import IMAGES, Kind
from ..folders.labelled_folder import LabelPrompt, SplitFolder

__all__ = ["ImageFolder"]


@dataclass(frozen=True, kw_only=True)
class ImageFolder(SplitFolder):
    """Images in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "image-folder"
    kind: ClassVar[Kind] = IMAGES

    prompt: LabelPrompt = ("Classify the image into one of the following classes: {{ labels | join(', ') }}.",)
    seed: Annotated[int, Meta(description="seed of what is drawn, such as one of several prompts")] = 0
