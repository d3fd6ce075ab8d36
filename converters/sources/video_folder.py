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

from dataclasses import dataclass
from typing import ClassVar

from ..folders.labelled_folder import LabelledClips, SplitFolder

__all__ = ["VideoFolder"]


@dataclass(frozen=True, kw_only=True)
class VideoFolder(LabelledClips, SplitFolder):
    """Videos in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "video-folder"
