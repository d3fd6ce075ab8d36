"""The three forms in which UCF-101 lies on people's disks: which clips there are, in which split, of which class.

Every form lists clips in one order, by split and then by the code points of class and file name, whatever the file
system says; refuses what it would otherwise have to leave out unsaid; and knows its classes without listing the clips.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from ...schema.errors import InputError
from ...schema.folder import Folder, LocalFolder, check_readable, name_key, open_folder

__all__ = ["CLIP_SUFFIXES", "UNLISTED", "Clip", "Form", "find_form"]

CLIP_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})

# The split of clips that lie in UCF-101/ and stand in no list of the fold.
UNLISTED = "unlisted"

_SPLITS = ("train", "val", "test")
_CLIPS_FOLDERS = ("UCF-101", "UCF101")
_LISTS_FOLDER = "ucfTrainTestlist"
_EXPECTED = (
    f"expected train|val|test/<Class>/<clip>, or UCF-101/<Class>/<clip> beside {_LISTS_FOLDER}/, or <Class>/<clip>, "
    f"with clips ending in {' '.join(sorted(CLIP_SUFFIXES))}"
)


class Clip(NamedTuple):
    """One clip: its split, its class, its file name."""

    split: str
    label: str
    name: str


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
    def clips(self) -> Iterator[Clip]:
        """Yield every clip, in order."""

    @abstractmethod
    def path(self, clip: Clip) -> str:
        """Tell where a clip lies, below `base`."""


class _Splits(Form):
    """`train|val|test/<Class>/<clip>`."""

    def __init__(self, folder: Folder, base: str, splits: list[str]) -> None:
        super().__init__(folder, base)
        self._splits = splits

    def labels(self) -> list[str]:
        return sorted({label for split in self._splits for label in _classes(self.folder, self.base + split)})

    def clips(self) -> Iterator[Clip]:
        for entry in self.folder.list(self.base.rstrip("/")):
            name = entry.name.removeprefix(self.base)
            if name not in self._splits and (stray := _some_clip(self.folder, entry.name, is_folder=entry.is_folder)):
                raise InputError(
                    f"{self.folder.address}/{stray}: a clip beside the splits {', '.join(self._splits)}; "
                    f"splits are named {', '.join(_SPLITS)}, so move or rename it"
                )
        for split in self._splits:
            for label in _classes(self.folder, self.base + split):
                for name in _clip_names(self.folder, f"{self.base}{split}/{label}"):
                    yield Clip(split, label, name)

    def path(self, clip: Clip) -> str:
        return f"{clip.split}/{clip.label}/{clip.name}"


class _Plain(Form):
    """`<Class>/<clip>`, all of them in the split train."""

    def labels(self) -> list[str]:
        return _classes(self.folder, self.base.rstrip("/"))

    def clips(self) -> Iterator[Clip]:
        for label in self.labels():
            for name in _clip_names(self.folder, self.base + label):
                yield Clip("train", label, name)

    def path(self, clip: Clip) -> str:
        return f"{clip.label}/{clip.name}"


class _Listed(Form):
    """`<Class>/<clip>`, and lists that say which clip is in which split of the fold."""

    def __init__(self, folder: Folder, base: str, lists: Folder, fold: int) -> None:
        super().__init__(folder, base)
        self._lists = lists
        self._files = {split: f"{split}list{fold:02d}.txt" for split in ("train", "test")}

    def labels(self) -> list[str]:
        return sorted({clip.label for clip in self._listed()})

    def clips(self) -> Iterator[Clip]:
        listed = self._listed()
        yield from listed
        known = {(clip.label, clip.name) for clip in listed}
        for label in _classes(self.folder, self.base.rstrip("/")):
            if label == _LISTS_FOLDER:
                continue
            for name in _clip_names(self.folder, self.base + label):
                if (label, name) not in known:
                    yield Clip(UNLISTED, label, name)

    def path(self, clip: Clip) -> str:
        return f"{clip.label}/{clip.name}"

    def _listed(self) -> list[Clip]:
        seen: dict[tuple[str, str], str] = {}
        clips = []
        for split, file in self._files.items():
            for where, label, name in _listed_names(self._lists, file):
                if (label, name) in seen:
                    raise InputError(
                        f"{where}: {label}/{name} already stands in {seen[label, name]}; "
                        "a clip belongs to one split, so remove one of the two lines"
                    )
                seen[label, name] = file
                clips.append(Clip(split, label, name))
        if not clips:
            raise InputError(f"{self._lists.address}: {' and '.join(self._files.values())} name no clip")
        # Train before test, as the files are read; sorted inside.
        return sorted(clips, key=lambda clip: (clip.split == "test", clip.label, clip.name))


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
    _check_labels(folder, form.labels())
    return form


def _wrapper(folder: Folder) -> str:
    """Return the path of the one folder inside, as archives unpack, with its slash; "" where there is none."""
    inside = _folders(folder, "")
    entries = folder.list(inside[0]) if len(inside) == 1 else []
    is_class = any(_is_clip(entry.name) for entry in entries)
    return f"{inside[0]}/" if not is_class and any(entry.is_folder for entry in entries) else ""


def _form_at(folder: Folder, base: str, fold: int) -> Form | None:
    inside = [name.removeprefix(base) for name in _folders(folder, base.rstrip("/"))]
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
    splits = [split for split in _SPLITS if split in inside and _folders(folder, base + split)]
    return _Splits(folder, base, splits) if splits else None


def _lists_beside(folder: Folder) -> Folder | None:
    """Find the lists next to the folder, where it is UCF-101 itself."""
    address = str(folder.path.absolute()) if isinstance(folder, LocalFolder) else folder.address
    parent, _, name = address.rpartition("/")
    if name not in _CLIPS_FOLDERS:
        return None
    beside = open_folder(f"{parent}/{_LISTS_FOLDER}")
    return beside if beside.exists("") else None


def _folders(folder: Folder, name: str) -> list[str]:
    return [entry.name for entry in folder.list(name) if entry.is_folder]


def _is_clip(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in CLIP_SUFFIXES


def _classes(folder: Folder, name: str) -> list[str]:
    """Name the classes inside a folder of classes."""
    entries = folder.list(name)
    for entry in entries:
        if not entry.is_folder and _is_clip(entry.name):
            raise InputError(f"{folder.address}/{entry.name}: a clip in no class folder; {_EXPECTED}")
    classes = [PurePosixPath(entry.name).name for entry in entries if entry.is_folder]
    if not classes:
        where = f"{folder.address}/{name}".rstrip("/")
        raise InputError(f"{where}: {'no folder inside' if entries else 'an empty folder'}; {_EXPECTED}")
    return classes


def _clip_names(folder: Folder, name: str) -> list[str]:
    """Name the clips of one class. Other files (notes, thumbnails) are no samples; a folder named like a clip is."""
    entries = folder.list(name)
    for entry in entries:
        if not _is_clip(entry.name) and (stray := _some_clip(folder, entry.name, is_folder=entry.is_folder)):
            raise InputError(
                f"{folder.address}/{stray}: a clip below the class folder {name}; clips lie directly in it, so move it"
            )
    clips = [PurePosixPath(entry.name).name for entry in entries if _is_clip(entry.name)]
    if not clips:
        raise InputError(
            f"{folder.address}/{name}: a class folder without clips ({' '.join(sorted(CLIP_SUFFIXES))}); "
            "put some there, or remove it"
        )
    return clips


def _some_clip(folder: Folder, name: str, *, is_folder: bool, depth: int = 2) -> str | None:
    """Name a clip that is this entry or lies at most `depth` folders below it."""
    if not is_folder:
        return name if _is_clip(name) else None
    inside = folder.list(name) if depth else []
    found = (_some_clip(folder, entry.name, is_folder=entry.is_folder, depth=depth - 1) for entry in inside)
    return next((clip for clip in found if clip), None)


def _listed_names(lists: Folder, file: str) -> Iterator[tuple[str, str, str]]:
    """Yield where each line of a list stands, and the class and clip that it names."""
    try:
        text = lists.read(file).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{lists.address}/{file}: no such list, and the fold asked for needs it") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{lists.address}/{file}: not UTF-8 text ({error}); expected a clip a line") from None
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{lists.address}/{file}, line {number}"
        # Lists for training add the number of the class.
        clip = re.sub(r"(?<=\S) \d+$", "", line.strip())
        label, slash, name = clip.partition("/")
        if not clip:
            continue
        if not slash or "/" in name or label in {"", ".", ".."} or not _is_clip(name):
            raise InputError(f"{where}: {clip!r} is no clip; expected <Class>/<clip>")
        yield where, label, name


def _check_labels(folder: Folder, labels: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        try:
            label.encode()
        except UnicodeEncodeError:
            raise InputError(f"{folder.address}: the class {label!a} is not named in UTF-8; rename it") from None
        earlier = seen.setdefault(name_key(label), label)
        if earlier != label:
            raise InputError(
                f"{folder.address}: the classes {earlier!a} and {label!a} differ only in case or in how Unicode "
                "spells them; give them one name"
            )
