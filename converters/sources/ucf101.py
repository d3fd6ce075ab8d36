"""UCF-101, or any videos in folders by class: what is being done in the clip?

One raw sample is one clip. Its folder is its class; the group in its name tells which clips were cut from one and the
same video::

    val/BabyCrawling/v_BabyCrawling_g21_c04.avi      MPEG-4, 320x240, 25 frames a second

It becomes one question about a few of its frames, as docs/sources/ucf101.md shows. The raw data has one of three
layouts, told apart by what is there, possibly inside one more folder:

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
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.errors import InputError
from ...storage import Folder, LocalFolder, check_readable, open_folder
from ..base import PublicCopy
from ..folders.labelled_folder import LabelledClips
from ..folders.layouts import CLIPS, ByFolder, ByLists, Layout, folders

_SPLITS = ("train", "val", "test")
_CLIPS_FOLDERS = ("UCF-101", "UCF101")
_LISTS_FOLDER = "ucfTrainTestlist"


class _Plain(Layout):
    form: ClassVar[str] = (
        f"train|val|test/<Class>/<clip>, or UCF-101/<Class>/<clip> beside {_LISTS_FOLDER}/, or <Class>/<clip>"
    )


@dataclass(frozen=True, kw_only=True)
class UCF101(LabelledClips):
    """Clips of UCF-101, or of any folder of classes, each with the question which class it is of."""

    name: ClassVar[str] = "ucf101"
    public_copy: ClassVar[PublicCopy] = PublicCopy("sayakpaul/ucf101-subset", "UCF101_subset.tar.gz")

    fold: Annotated[int, Meta(ge=1, le=3), "fold of the official lists of the full dataset"] = 1

    @cached_property
    def layout(self) -> Layout:
        """Which of the three layouts the input has, or the one folder inside it (as archives unpack).

        Raises:
            InputError: the input cannot be read, or has none of them.
        """
        folder = self.input
        check_readable(folder)
        # The input may be UCF-101 itself, with its lists next to it.
        address = str(folder.path.absolute()) if isinstance(folder, LocalFolder) else folder.address
        parent, _, name = address.rpartition("/")
        if name in _CLIPS_FOLDERS and (beside := open_folder(f"{parent}/{_LISTS_FOLDER}")).exists(""):
            return self._by_lists("", beside)
        wrapper = _wrapper(folder)
        for base in dict.fromkeys(("", wrapper)):
            inside = [name.removeprefix(base) for name in folders(folder, base.rstrip("/"))]
            clips = next((f"{base}{name}/" for name in _CLIPS_FOLDERS if name in inside), None)
            for place in dict.fromkeys((base, clips or base)):
                if folder.exists(place + _LISTS_FOLDER):
                    return self._by_lists(clips or base, open_folder(f"{folder.address}/{place}{_LISTS_FOLDER}"))
            if clips:
                full = f"{folder.address}/{clips}".rstrip("/")
                raise InputError(
                    f"{full}: the full dataset without its lists; put {_LISTS_FOLDER}/ beside it, or give {full} "
                    "itself as a plain folder of classes, all in the split train"
                )
            if splits := [split for split in _SPLITS if split in inside and folders(folder, base + split)]:
                return ByFolder(folder=folder, kind=CLIPS, inside=base, splits=splits)
        return _Plain(folder=folder, kind=CLIPS, inside=wrapper)

    def _by_lists(self, base: str, lists: Folder) -> Layout:
        names = [(split, f"{split}list{self.fold:02d}.txt") for split in ("train", "test")]
        return ByLists(folder=self.input, kind=CLIPS, inside=base, lists=names, lists_folder=lists)

    def group_of(self, path: str) -> str:
        """Return the group in a clip's name: the video that it was cut from."""
        found = re.search(r"_(g\d+)_", PurePosixPath(path).name)
        return found[1] if found else ""


def _wrapper(folder: Folder) -> str:
    """Return the path of the one folder inside, as archives unpack, with its slash; "" where there is none."""
    inside = folders(folder, "")
    entries = folder.list(inside[0]) if len(inside) == 1 else []
    is_class = any(CLIPS.has(entry.name) for entry in entries)
    return f"{inside[0]}/" if not is_class and any(entry.is_folder for entry in entries) else ""
