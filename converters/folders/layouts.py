"""How labelled files lie in a folder, and which split each belongs to: by ratio, by lists, or by the folder it is in.

Each layout lists files in one order, refuses what it would otherwise leave out silently, and knows the classes without
listing the files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from ...schema.errors import InputError
from ...schema.splits import split_name
from ...storage import Folder, check_readable, name_key
from ..splits import Ratios, stratified
from .class_folders import Kind, class_files, classes, folders, some_file
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


class Layout(ABC):
    """The files of a folder, given to splits in one way.

    Args:
        folder: the input.
        kind: of the files.
        base: what their paths start with, "" or ending in a slash; None to look whether they lie in the folder itself
            or inside one more, as archives unpack.

    Raises:
        InputError: the folder cannot be read, or is laid out in another way.
    """

    form: str
    depth: int
    hint: str

    def __init__(self, folder: Folder, kind: Kind, base: str | None = None) -> None:
        check_readable(folder)
        self._folder = folder
        self._kind = kind
        self._expected = f"expected {self.form}, with {kind.noun}s ending in {' '.join(sorted(kind.suffixes))}"
        self.base = self._find_base() if base is None else base

    @abstractmethod
    def labels(self) -> list[str]:
        """Name the classes, sorted."""

    @abstractmethod
    def files(self) -> Iterator[LabelledFile]:
        """Yield every file, in order."""

    def _find_base(self) -> str:
        some = some_file(self._folder, "", self._kind, is_folder=True, depth=self.depth + 2)
        deeper = some.count("/") - self.depth if some else 0
        wrappers = folders(self._folder, "")
        if deeper == 1 and len(wrappers) == 1:
            return f"{wrappers[0]}/"
        if some and "/" in some and deeper:
            raise InputError(
                f"{self._folder.address}/{some}: {self._kind.one} where none is expected; {self._expected}; {self.hint}"
            )
        return ""

    def _classes(self, name: str) -> list[str]:
        return classes(self._folder, (self.base + name).rstrip("/"), self._kind, self._expected)

    def _class_files(self, name: str) -> dict[str, str]:
        """Name the files of one class, each with what its images are named for."""
        names = class_files(self._folder, self.base + name, self._kind)
        stems = Counter(name_key(PurePosixPath(name).stem) for name in names)
        return {
            name: stem if stems[name_key(stem)] == 1 else name
            for name, stem in ((name, PurePosixPath(name).stem) for name in names)
        }


class ByRatio(Layout):
    """`<Class>/<file>`, the split decided by hash.

    Args:
        folder: the input.
        kind: of the files.
        ratios: the splits.
        group_of: the group in a file's name, "" where there is none: the file is then its own.
        base: see `Layout`.
        stratify: meet the shares in every class, as nearly as whole groups can.
    """

    form = "<Class>/<file>"
    depth = 1
    hint = "where the folders above the classes are the splits, give --split-by folder"

    def __init__(
        self,
        folder: Folder,
        kind: Kind,
        ratios: Ratios,
        group_of: Callable[[str], str],
        base: str | None = None,
        *,
        stratify: bool = False,
    ) -> None:
        super().__init__(folder, kind, base)
        self._stratify = stratify
        self._ratios = ratios
        self._group_of = group_of

    def labels(self) -> list[str]:
        """Name the classes; see `Layout`."""
        return self._classes("")

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `Layout`."""
        label_of: dict[str, str] = {}
        for label, path in self._paths() if self._stratify else ():
            # A group in several classes counts in its first.
            label_of.setdefault(self._key(path), label)
        split_of = stratified(self._ratios, label_of).__getitem__ if self._stratify else self._ratios.split_of
        for label in self.labels():
            for name, image in self._class_files(label).items():
                path = f"{label}/{name}"
                yield LabelledFile(split_of(self._key(path)), label, path, f"{label}/{image}")

    def _paths(self) -> Iterator[tuple[str, str]]:
        return ((label, f"{label}/{name}") for label in self.labels() for name in self._class_files(label))

    def _key(self, path: str) -> str:
        return self._group_of(path) or path


class ByFolder(Layout):
    """`<split>/<Class>/<file>`.

    Args:
        folder: the input.
        kind: of the files.
        base: see `Layout`.
        splits: the folders that are splits, in their order; every folder where not given.
    """

    form = "<split>/<Class>/<file>"
    depth = 2
    hint = "where the classes are on top, give --split-by ratio"

    def __init__(
        self, folder: Folder, kind: Kind, base: str | None = None, splits: Sequence[str] | None = None
    ) -> None:
        super().__init__(folder, kind, base)
        self._given_splits = splits

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
        return self._given_splits or self._classes("")

    def _check_beside_splits(self) -> None:
        for entry in self._folder.list(self.base.rstrip("/")) if self._given_splits else ():
            is_split = entry.name.removeprefix(self.base) in self._splits()
            stray = None if is_split else some_file(self._folder, entry.name, self._kind, is_folder=entry.is_folder)
            if stray:
                raise InputError(
                    f"{self._folder.address}/{stray}: {self._kind.one} beside the splits {', '.join(self._splits())}; "
                    "move it into one of them, or rename its folder to train, val or test"
                )


class ByLists(Layout):
    """`<Class>/<file>`, and lists that name the files of each split.

    What is listed and missing fails by name, and so does what is there and in no list, in a split of its own.

    Args:
        folder: the input.
        kind: of the files.
        lists: the lists of each split; every .txt beside the classes, named for its split, where there are none.
        base: see `Layout`.
        lists_folder: where the lists lie; beside the classes where not given.
    """

    form = "<Class>/<file> and lists of them, such as train.txt"
    depth = 1
    hint = "where the folders above the classes are the splits, give --split-by folder"

    def __init__(
        self,
        folder: Folder,
        kind: Kind,
        lists: Mapping[str, Sequence[str]],
        base: str | None = None,
        lists_folder: Folder | None = None,
    ) -> None:
        super().__init__(folder, kind, base)
        self._lists_folder = lists_folder or folder
        below = "" if lists_folder else self.base
        lists = lists or self._lists_beside()
        self._lists = {split: [f"{below}{name}" for name in names] for split, names in lists.items()}

    def labels(self) -> list[str]:
        """Name the classes; see `Layout`."""
        return sorted({file.label for file in self._listed()})

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `Layout`."""
        present = {label: self._class_files(label) for label in self._classes("") if not self._holds_lists(label)}
        for split, label, name in self._listed():
            image = present.get(label, {}).pop(name, None)
            failure = "" if image else f"no such {self._kind.noun}, though it is listed"
            yield LabelledFile(split, label, f"{label}/{name}", f"{label}/{image or PurePosixPath(name).stem}", failure)
        failure = f"in no list; list it, or leave it out: --splits {','.join(self._lists)}"
        for label, names in present.items():
            for name, image in names.items():
                yield LabelledFile(UNLISTED, label, f"{label}/{name}", f"{label}/{image}", failure)

    def _listed(self) -> list[SplitFile]:
        return listed_files(self._lists_folder, self._lists, self._kind)

    def _holds_lists(self, name: str) -> bool:
        address = f"{self._folder.address}/{self.base}{name}/"
        return any(
            f"{self._lists_folder.address}/{listed}".startswith(address)
            for names in self._lists.values()
            for listed in names
        )

    def _lists_beside(self) -> dict[str, list[str]]:
        entries = self._folder.list(self.base.rstrip("/"))
        names = [entry.name.removeprefix(self.base) for entry in entries if not entry.is_folder]
        found: dict[str, list[str]] = {}
        for name in names:
            if name.endswith(".txt"):
                found.setdefault(split_name(PurePosixPath(name).stem), []).append(name)
        if not found:
            raise InputError(
                f"{self._folder.address}/{self.base}: no list beside the classes; expected one for each split, such as "
                "train.txt, or name them: --split-files val=lists/testlist01.txt"
            )
        return found
