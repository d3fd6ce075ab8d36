"""How labelled files lie in a folder, and which split each belongs to: by ratio, by lists, or by the folder it is in.

Each layout lists files in one order, refuses what it would otherwise leave out silently, and knows the classes without
listing the files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

from ...schema.errors import InputError
from ...schema.splits import split_name
from ...storage import Entry, Folder, check_readable, name_key
from ..splits import Ratios, stratified
from .class_folders import Kind, folders, some_file
from .split_lists import UNLISTED, SplitFile, listed_files

__all__ = ["ByFolder", "ByLists", "ByRatio", "LabelledFile", "Layout"]


class LabelledFile(NamedTuple):
    """One file.

    Args:
        split: where it belongs.
        label: its class.
        path: where it lies, below the layout's `base`.
        image: what its images are named for, below the split: its class, and its name without the suffix, or with it,
            where another file of the class has the same one.
        failure: why it cannot be used, "" where it can.
    """

    split: str
    label: str
    path: str
    image: str
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout(ABC):
    """The files of a folder, given to splits in one way.

    Args:
        folder: the input.
        kind: of the files.
        inside: what their paths start with, "" or ending in a slash; None to look whether they lie in the folder itself
            or inside one more, as archives unpack.
    """

    form: ClassVar[str]
    depth: ClassVar[int] = 1
    hint: ClassVar[str] = "where the folders above the classes are the splits, give --split-by folder"

    folder: Folder
    kind: Kind
    inside: str | None = None

    @abstractmethod
    def labels(self) -> list[str]:
        """Name the classes, sorted.

        Raises:
            InputError: the folder cannot be read, or is laid out in another way; from `files`, too.
        """

    @abstractmethod
    def files(self) -> Iterator[LabelledFile]:
        """Yield every file, in order."""

    @cached_property
    def base(self) -> str:
        """What the paths of the files start with, "" or ending in a slash."""
        check_readable(self.folder)
        if self.inside is not None:
            return self.inside
        some = some_file(self.folder, Entry("", True, 0), self.kind, self.depth + 2)
        deeper = some.count("/") - self.depth if some else 0
        wrappers = folders(self.folder, "")
        if deeper == 1 and len(wrappers) == 1:
            return f"{wrappers[0]}/"
        if some and "/" in some and deeper:
            raise InputError(
                f"{self.folder.address}/{some}: {self.kind.one} where none is expected; {self._expected}; {self.hint}"
            )
        return ""

    @property
    def _expected(self) -> str:
        return f"expected {self.form}, with {self.kind.noun}s ending in {self.kind.endings}"

    def _classes(self, name: str = "") -> list[str]:
        """Name the classes inside a folder; a file of the kind beside them is refused."""
        path = (self.base + name).rstrip("/")
        entries = self.folder.list(path)
        for entry in entries:
            if not entry.is_folder and self.kind.has(entry.name):
                raise InputError(
                    f"{self.folder.address}/{entry.name}: {self.kind.one} in no class folder; {self._expected}"
                )
        found = [PurePosixPath(entry.name).name for entry in entries if entry.is_folder]
        if not found:
            where = f"{self.folder.address}/{path}".rstrip("/")
            raise InputError(f"{where}: {'no folder inside' if entries else 'an empty folder'}; {self._expected}")
        return found

    def _class_files(self, name: str) -> dict[str, str]:
        """Name the files of one class, each with what its images are named for; one that lies deeper is refused.

        A folder named like a file is one, and fails when it is read.
        """
        path = self.base + name
        entries = self.folder.list(path)
        for entry in entries:
            if not self.kind.has(entry.name) and (stray := some_file(self.folder, entry, self.kind)):
                raise InputError(
                    f"{self.folder.address}/{stray}: {self.kind.one} below the class folder {path}; "
                    f"{self.kind.noun}s lie directly in it, so move it"
                )
        files = [PurePosixPath(entry.name) for entry in entries if self.kind.has(entry.name)]
        if not files:
            raise InputError(
                f"{self.folder.address}/{path}: a class folder without {self.kind.noun}s ({self.kind.endings}); "
                "put some there, or remove it"
            )
        stems = Counter(name_key(file.stem) for file in files)
        return {file.name: file.stem if stems[name_key(file.stem)] == 1 else file.name for file in files}


@dataclass(frozen=True, kw_only=True)
class ByRatio(Layout):
    """`<Class>/<file>`, the split decided by hash.

    Args:
        ratios: the splits.
        group_of: the group in a file's name, "" where there is none: the file is then its own.
        stratify: meet the shares in every class, as nearly as whole groups can.
    """

    form: ClassVar[str] = "<Class>/<file>"

    ratios: Ratios
    group_of: Callable[[str], str]
    stratify: bool = False

    def labels(self) -> list[str]:
        """Name the classes; see `Layout`."""
        return self._classes()

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `Layout`."""
        split_of: Callable[[str], str] = self.ratios.split_of
        if self.stratify:
            label_of: dict[str, str] = {}
            for file in self._undecided():
                # A group in several classes counts in its first.
                label_of.setdefault(self._key(file), file.label)
            split_of = stratified(self.ratios, label_of).__getitem__
        for file in self._undecided():
            yield file._replace(split=split_of(self._key(file)))

    def _undecided(self) -> Iterator[LabelledFile]:
        for label in self.labels():
            for name, image in self._class_files(label).items():
                yield LabelledFile("", label, f"{label}/{name}", f"{label}/{image}")

    def _key(self, file: LabelledFile) -> str:
        return self.group_of(file.path) or file.path


@dataclass(frozen=True, kw_only=True)
class ByFolder(Layout):
    """`<split>/<Class>/<file>`.

    Args:
        splits: the folders that are splits, in their order; every folder where not given.
    """

    form: ClassVar[str] = "<split>/<Class>/<file>"
    depth: ClassVar[int] = 2
    hint: ClassVar[str] = "where the classes are on top, give --split-by ratio"

    splits: Sequence[str] = ()

    def labels(self) -> list[str]:
        """Name the classes; see `Layout`."""
        return sorted({label for split in self._splits() for label in self._classes(split)})

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `Layout`."""
        self._check_beside_splits()
        for split in self._splits():
            for label in self._classes(split):
                for name, image in self._class_files(f"{split}/{label}").items():
                    yield LabelledFile(split_name(split), label, f"{split}/{label}/{name}", f"{label}/{image}")

    def _splits(self) -> Sequence[str]:
        return self.splits or self._classes()

    def _check_beside_splits(self) -> None:
        for entry in self.folder.list(self.base.rstrip("/")) if self.splits else ():
            is_split = entry.name.removeprefix(self.base) in self.splits
            if not is_split and (stray := some_file(self.folder, entry, self.kind)):
                raise InputError(
                    f"{self.folder.address}/{stray}: {self.kind.one} beside the splits {', '.join(self.splits)}; "
                    "move it into one of them, or rename its folder to train, val or test"
                )


@dataclass(frozen=True, kw_only=True)
class ByLists(Layout):
    """`<Class>/<file>`, and lists that name the files of each split.

    What is listed and missing fails by name, and so does what is there and in no list, in a split of its own.

    Args:
        lists: the lists of each split; every .txt beside the classes, named for its split, where there are none.
        lists_folder: where the lists lie; beside the classes where not given.
    """

    form: ClassVar[str] = "<Class>/<file> and lists of them, such as train.txt"

    lists: Mapping[str, Sequence[str]]
    lists_folder: Folder | None = None

    def labels(self) -> list[str]:
        """Name the classes; see `Layout`."""
        return sorted({file.label for file in self._listed()})

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `Layout`."""
        present = {label: self._class_files(label) for label in self._classes() if not self._holds_lists(label)}
        for split, label, name in self._listed():
            image = present.get(label, {}).pop(name, None)
            failure = "" if image else f"no such {self.kind.noun}, though it is listed"
            yield LabelledFile(split, label, f"{label}/{name}", f"{label}/{image or PurePosixPath(name).stem}", failure)
        failure = f"in no list; list it, or leave it out: --splits {','.join(self._paths)}"
        for label, names in present.items():
            for name, image in names.items():
                yield LabelledFile(UNLISTED, label, f"{label}/{name}", f"{label}/{image}", failure)

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        """The paths of each split's lists, in the folder of lists."""
        below = "" if self.lists_folder else self.base
        lists = self.lists or self._lists_beside()
        return {split: [f"{below}{name}" for name in names] for split, names in lists.items()}

    def _listed(self) -> list[SplitFile]:
        return listed_files(self.lists_folder or self.folder, self._paths, self.kind)

    def _holds_lists(self, name: str) -> bool:
        folder = f"{self.folder.address}/{self.base}{name}/"
        lists = (self.lists_folder or self.folder).address
        return any(f"{lists}/{path}".startswith(folder) for paths in self._paths.values() for path in paths)

    def _lists_beside(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in self.folder.list(self.base.rstrip("/")):
            name = entry.name.removeprefix(self.base)
            if not entry.is_folder and name.endswith(".txt"):
                found.setdefault(split_name(PurePosixPath(name).stem), []).append(name)
        if not found:
            raise InputError(
                f"{self.folder.address}/{self.base}: no list beside the classes; expected one for each split, such as "
                "train.txt, or name them: --split-files val=lists/testlist01.txt"
            )
        return found
