"""The three forms in which UCF-101 lies on people's disks: which clips there are, in which split, of which class.

Every form lists clips in one order, by split and then by the code points of class and file name, whatever the file
system says; refuses what it would otherwise have to leave out unsaid; and knows its classes without listing the clips.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from ...schema.errors import InputError
from ...storage import Folder, LocalFolder, check_readable, open_folder
from .class_folders import CLIPS, check_labels, class_files, classes, folders, some_file
from .split_lists import UNLISTED, SplitFile, listed_files

__all__ = ["Form", "find_form"]

_SPLITS = ("train", "val", "test")
_CLIPS_FOLDERS = ("UCF-101", "UCF101")
_LISTS_FOLDER = "ucfTrainTestlist"
_EXPECTED = (
    f"expected train|val|test/<Class>/<clip>, or UCF-101/<Class>/<clip> beside {_LISTS_FOLDER}/, or <Class>/<clip>, "
    f"with clips ending in {' '.join(sorted(CLIPS.suffixes))}"
)


class Form(ABC):
    """Raw data laid out in one way.

    Args:
        folder: the input.
        base: what the clips' paths start with in it, "" or ending in a slash.
    """

    def __init__(self, folder: Folder, base: str) -> None:
        self.folder = folder
        self.base = base

    @abstractmethod
    def labels(self) -> list[str]:
        """Name the classes, sorted."""

    @abstractmethod
    def clips(self) -> Iterator[SplitFile]:
        """Yield every clip, in order."""

    @abstractmethod
    def path(self, clip: SplitFile) -> str:
        """Tell where a clip lies, below `base`."""


class _Splits(Form):
    """`train|val|test/<Class>/<clip>`."""

    def __init__(self, folder: Folder, base: str, splits: list[str]) -> None:
        super().__init__(folder, base)
        self._splits = splits

    def labels(self) -> list[str]:
        return sorted(
            {label for split in self._splits for label in classes(self.folder, self.base + split, CLIPS, _EXPECTED)}
        )

    def clips(self) -> Iterator[SplitFile]:
        for entry in self.folder.list(self.base.rstrip("/")):
            name = entry.name.removeprefix(self.base)
            if name not in self._splits and (
                stray := some_file(self.folder, entry.name, CLIPS, is_folder=entry.is_folder)
            ):
                raise InputError(
                    f"{self.folder.address}/{stray}: a clip beside the splits {', '.join(self._splits)}; "
                    f"splits are named {', '.join(_SPLITS)}, so move or rename it"
                )
        for split in self._splits:
            for label in classes(self.folder, self.base + split, CLIPS, _EXPECTED):
                for name in class_files(self.folder, f"{self.base}{split}/{label}", CLIPS):
                    yield SplitFile(split, label, name)

    def path(self, clip: SplitFile) -> str:
        return f"{clip.split}/{clip.label}/{clip.name}"


class _Plain(Form):
    """`<Class>/<clip>`, all of them in the split train."""

    def labels(self) -> list[str]:
        return classes(self.folder, self.base.rstrip("/"), CLIPS, _EXPECTED)

    def clips(self) -> Iterator[SplitFile]:
        for label in self.labels():
            for name in class_files(self.folder, self.base + label, CLIPS):
                yield SplitFile("train", label, name)

    def path(self, clip: SplitFile) -> str:
        return f"{clip.label}/{clip.name}"


class _Listed(Form):
    """`<Class>/<clip>`, and lists that say which clip is in which split of the fold."""

    def __init__(self, folder: Folder, base: str, lists: Folder, fold: int) -> None:
        super().__init__(folder, base)
        self._lists = lists
        self._fold = fold

    def labels(self) -> list[str]:
        return sorted({clip.label for clip in self._listed()})

    def clips(self) -> Iterator[SplitFile]:
        listed = self._listed()
        yield from listed
        known = {(clip.label, clip.name) for clip in listed}
        for label in classes(self.folder, self.base.rstrip("/"), CLIPS, _EXPECTED):
            if label == _LISTS_FOLDER:
                continue
            for name in class_files(self.folder, self.base + label, CLIPS):
                if (label, name) not in known:
                    yield SplitFile(UNLISTED, label, name)

    def path(self, clip: SplitFile) -> str:
        return f"{clip.label}/{clip.name}"

    def _listed(self) -> list[SplitFile]:
        files = {split: [f"{split}list{self._fold:02d}.txt"] for split in ("train", "test")}
        return listed_files(self._lists, files, CLIPS)


def find_form(folder: Folder, fold: int) -> Form:
    """Tell in which form the raw data lies in a folder, or in the one folder inside it (as archives unpack).

    Args:
        folder: the input.
        fold: the fold whose lists count, 1 to 3, where there are lists.

    Raises:
        InputError: the folder cannot be read, or holds none of the three forms.
    """
    check_readable(folder)
    beside = _lists_beside(folder)
    if beside is not None:
        return _Listed(folder, "", beside, fold)
    base = _wrapper(folder)
    form = _form_at(folder, "", fold) or (_form_at(folder, base, fold) if base else None) or _Plain(folder, base)
    check_labels(folder, form.labels())
    return form


def _wrapper(folder: Folder) -> str:
    """Return the path of the one folder inside, as archives unpack, with its slash; "" where there is none."""
    inside = folders(folder, "")
    entries = folder.list(inside[0]) if len(inside) == 1 else []
    is_class = any(CLIPS.has(entry.name) for entry in entries)
    return f"{inside[0]}/" if not is_class and any(entry.is_folder for entry in entries) else ""


def _form_at(folder: Folder, base: str, fold: int) -> Form | None:
    inside = [name.removeprefix(base) for name in folders(folder, base.rstrip("/"))]
    clips = next((f"{base}{name}/" for name in _CLIPS_FOLDERS if name in inside), None)
    for place in dict.fromkeys((base, clips or base)):
        if folder.exists(place + _LISTS_FOLDER):
            return _Listed(folder, clips or base, open_folder(f"{folder.address}/{place}{_LISTS_FOLDER}"), fold)
    if clips:
        full = f"{folder.address}/{clips}".rstrip("/")
        raise InputError(
            f"{full}: the full dataset without its lists; put {_LISTS_FOLDER}/ beside it, or give {full} itself as a "
            "plain folder of classes, all in the split train"
        )
    splits = [split for split in _SPLITS if split in inside and folders(folder, base + split)]
    return _Splits(folder, base, splits) if splits else None


def _lists_beside(folder: Folder) -> Folder | None:
    """Find the lists next to the folder, where it is UCF-101 itself."""
    address = str(folder.path.absolute()) if isinstance(folder, LocalFolder) else folder.address
    parent, _, name = address.rpartition("/")
    if name not in _CLIPS_FOLDERS:
        return None
    beside = open_folder(f"{parent}/{_LISTS_FOLDER}")
    return beside if beside.exists("") else None
