"""UCF-101, or any videos in folders by class: what is being done in the clip?

One raw sample is one clip. Its folder is its class; the group in its name tells which clips were cut from one and the
same video::

    val/BabyCrawling/v_BabyCrawling_g21_c04.avi      MPEG-4, 320x240, 25 frames a second

It becomes one question about a few of its frames::

    {"id": "val-0000000300", "source": "ucf101",
     "conversations": [{"images": ["val/BabyCrawling/v_BabyCrawling_g21_c04.0.jpg"],
                        "user": "Classify the video into one of the following classes: ApplyEyeMakeup, ...",
                        "assistant": "BabyCrawling"}],
     "meta": {"group": "g21", "label": "BabyCrawling", "video": "val/BabyCrawling/v_BabyCrawling_g21_c04.avi",
              "sha256": "...", "frames": [0], "pts": [0.0]}}

The raw data has one of three layouts, told apart by what is there, possibly inside one more folder:

- the public subset: `train|val|test/<Class>/<clip>`;
- the full dataset: `UCF-101/<Class>/<clip>` beside `ucfTrainTestlist/`, whose lists of one fold name the clips of the
  splits train and test. A clip that is listed and missing fails by name, and so does one that is there and not listed,
  in a split `unlisted` (`--splits train,test` leaves that out);
- a plain folder of classes: `<Class>/<clip>`, all in the split train.

Files of a class that are not videos by their suffix (notes, thumbnails) are not samples; neither is anything hidden.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from msgspec import Meta

from ..base import PublicCopy
from ..folders.labelled_folder import LabelledClips
from ..folders.layouts import Layout
from ..folders.ucf101_layouts import find_layout

__all__ = ["UCF101"]


@dataclass(frozen=True, kw_only=True)
class UCF101(LabelledClips):
    """Clips of UCF-101, or of any folder of classes, each with the question which class it is of."""

    name: ClassVar[str] = "ucf101"
    public_copy: ClassVar[PublicCopy] = PublicCopy("sayakpaul/ucf101-subset", "UCF101_subset.tar.gz")

    fold: Annotated[int, Meta(ge=1, le=3, description="fold of the official lists of the full dataset")] = 1

    def find_layout(self) -> Layout:
        """Tell which of the three layouts the input has."""
        return find_layout(self.input, self.fold)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(r"_(g\d+)_")
