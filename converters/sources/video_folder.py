"""Videos in folders by class: what is being done in the clip?

One raw sample is one clip. Its folder is its class; a part of its name may tell which clips were cut from one and the
same video::

    Pouring/cam2_g07_c03.mp4

With `--group '_(g\\d+)_'` and two frames it becomes::

    {"id": "train-0000000003", "source": "video-folder",
     "conversations": [{"images": ["train/Pouring/cam2_g07_c03.0.jpg", "train/Pouring/cam2_g07_c03.1.jpg"],
                        "user": "Classify the video into one of the following classes: Pouring, Stirring.",
                        "assistant": "Pouring"}],
     "meta": {"group": "g07", "label": "Pouring", "video": "Pouring/cam2_g07_c03.mp4",
              "sha256": "...", "frames": [12, 37], "pts": [0.48, 1.48]}}

The split is decided by the hash of the group (or of `<Class>/<file>`, where no group is asked for), by lists of files,
or by the folder above the classes; see docs/sources/video-folder.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.record import Record
from ..base import ImageSink, Item
from ..folders.class_folders import CLIPS, Kind
from ..folders.labelled_folder import LabelledFolder, LabelPrompt
from ..video import Decoder
from ..video.clips import show_clip
from ..video.sampling import Sampling

__all__ = ["VideoFolder"]


@dataclass(frozen=True, kw_only=True)
class VideoFolder(LabelledFolder):
    """Videos in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "video-folder"
    kind: ClassVar[Kind] = CLIPS

    prompt: LabelPrompt = ("Classify the video into one of the following classes: {{ labels | join(', ') }}.",)
    sampling: Annotated[Sampling, Meta(description="which frames are shown")] = field(default_factory=Sampling)
    decoder: Annotated[Decoder, Meta(description="what reads the frames")] = "auto"

    @property
    def prompt_seed(self) -> int:
        """The seed of the sampling: one seed decides all that is drawn."""
        return self.sampling.seed

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show a clip's frames, ask for its class.

        Raises:
            MediaError: it is missing, a folder, or cannot be decoded.
        """
        clip = show_clip(self.input, item.file, item, images, self.sampling, self.decoder)
        return self.record(item, clip.images, {"video": self.below_base(item), **clip.provenance})
