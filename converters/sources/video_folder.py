"""Videos in folders by class: what is being done in the clip?

One raw sample is one clip. Its folder is its class; a part of its name may tell which clips were cut from one and the
same video, here with `--group '_(g\\d+)_'`::

    Pouring/cam2_g07_c03.mp4

The split is decided by the hash of the group (or of `<Class>/<file>`, where no group is asked for), by lists of files,
or by the folder above the classes; see docs/sources/video-folder.md, also for the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..folders.labelled_folder import LabelledClips, SplitFolder


@dataclass(frozen=True, kw_only=True)
class VideoFolder(LabelledClips, SplitFolder):
    """Videos in folders by class, each with the question which class it is of."""

    name: ClassVar[str] = "video-folder"
