"""The three layouts in which UCF-101 is found on disks."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from ...schema.errors import InputError
from ...storage import Folder, LocalFolder, check_readable, open_folder
from ..splits import Ratios
from .class_folders import CLIPS, folders
from .layouts import ByFolder, ByLists, ByRatio, Layout

__all__ = ["find_layout"]

_SPLITS = ("train", "val", "test")
_CLIPS_FOLDERS = ("UCF-101", "UCF101")
_LISTS_FOLDER = "ucfTrainTestlist"
_ALL_IN_TRAIN = Ratios((("train", Fraction(1)),))


class _Plain(ByRatio):
    form: ClassVar[str] = (
        f"train|val|test/<Class>/<clip>, or UCF-101/<Class>/<clip> beside {_LISTS_FOLDER}/, or <Class>/<clip>"
    )


def find_layout(folder: Folder, fold: int) -> Layout:
    """Tell how the raw data lies in a folder, or in the one folder inside it (as archives unpack).

    Args:
        folder: the input.
        fold: the fold whose lists count, 1 to 3, where there are lists.

    Raises:
        InputError: the folder cannot be read, or holds none of the three layouts.
    """
    check_readable(folder)
    if beside := _lists_beside(folder):
        return _listed(folder, "", beside, fold)
    wrapper = _wrapper(folder)
    for base in dict.fromkeys(("", wrapper)):
        if found := _layout_at(folder, base, fold):
            return found
    return _Plain(folder=folder, kind=CLIPS, inside=wrapper, ratios=_ALL_IN_TRAIN, group_of=lambda _: "")


def _layout_at(folder: Folder, base: str, fold: int) -> Layout | None:
    inside = [name.removeprefix(base) for name in folders(folder, base.rstrip("/"))]
    clips = next((f"{base}{name}/" for name in _CLIPS_FOLDERS if name in inside), None)
    for place in dict.fromkeys((base, clips or base)):
        if folder.exists(place + _LISTS_FOLDER):
            lists = open_folder(f"{folder.address}/{place}{_LISTS_FOLDER}")
            return _listed(folder, clips or base, lists, fold)
    if clips:
        full = f"{folder.address}/{clips}".rstrip("/")
        raise InputError(
            f"{full}: the full dataset without its lists; put {_LISTS_FOLDER}/ beside it, or give {full} itself as a "
            "plain folder of classes, all in the split train"
        )
    splits = [split for split in _SPLITS if split in inside and folders(folder, base + split)]
    return ByFolder(folder=folder, kind=CLIPS, inside=base, splits=splits) if splits else None


def _listed(folder: Folder, base: str, lists: Folder, fold: int) -> Layout:
    names = {split: [f"{split}list{fold:02d}.txt"] for split in ("train", "test")}
    return ByLists(folder=folder, kind=CLIPS, inside=base, lists=names, lists_folder=lists)


def _wrapper(folder: Folder) -> str:
    """Return the path of the one folder inside, as archives unpack, with its slash; "" where there is none."""
    inside = folders(folder, "")
    entries = folder.list(inside[0]) if len(inside) == 1 else []
    is_class = any(CLIPS.has(entry.name) for entry in entries)
    return f"{inside[0]}/" if not is_class and any(entry.is_folder for entry in entries) else ""


def _lists_beside(folder: Folder) -> Folder | None:
    """Find the lists next to the folder, where it is UCF-101 itself."""
    address = str(folder.path.absolute()) if isinstance(folder, LocalFolder) else folder.address
    parent, _, name = address.rpartition("/")
    if name not in _CLIPS_FOLDERS:
        return None
    beside = open_folder(f"{parent}/{_LISTS_FOLDER}")
    return beside if beside.exists("") else None
