"""Which labelled files a folder holds and which split each belongs to: by ratio, by lists, or by the folder it lies in.

Each way lists files in one order, refuses what it would otherwise have to leave out unsaid, and knows the classes
without listing the files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from ...schema.errors import InputError
from ...storage import Folder, check_readable, name_key
from ..splits import Ratios
from .class_folders import Kind, class_files, classes, folders, some_file
from .split_lists import UNLISTED, listed_files

__all__ = ["ByFolder", "ByLists", "ByRatio", "LabelledFile", "LabelledFiles"]


class LabelledFile(NamedTuple):
    """One file.

    Args:
        split: where it belongs.
        label: its class.
        path: where it lies, below the folder's `base`.
        image: what its images are named for: its name without the suffix, or with it, where another file of the
            class has the same one.
        fault: why it cannot be used, "" where it can.
    """

    split: str
    label: str
    path: str
    image: str
    fault: str = ""


class LabelledFiles(ABC):
    """The files of a folder, given to splits in one way.

    Args:
        folder: the input; the classes may lie inside one more folder, as archives unpack.
        kind: of the files.

    Raises:
        InputError: the folder cannot be read, or is laid out in another way.
    """

    layout: str
    depth: int
    hint: str

    def __init__(self, folder: Folder, kind: Kind) -> None:
        check_readable(folder)
        self._folder = folder
        self._kind = kind
        self._expected = f"expected {self.layout}, with {kind.noun}s ending in {' '.join(sorted(kind.suffixes))}"
        self.base = self._find_base()

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
                f"{self._folder.address}/{some}: a {self._kind.noun} where none was looked for; {self._expected}; "
                f"{self.hint}"
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


class ByRatio(LabelledFiles):
    """`<Class>/<file>`, the split decided by hash.

    Args:
        folder: the input.
        kind: of the files.
        ratios: the splits.
        group_of: the group in a file's name, "" where there is none: the file is then its own.
    """

    layout = "<Class>/<file>"
    depth = 1
    hint = "where the folders above the classes are the splits, give --split-by folder"

    def __init__(self, folder: Folder, kind: Kind, ratios: Ratios, group_of: Callable[[str], str]) -> None:
        super().__init__(folder, kind)
        self._ratios = ratios
        self._group_of = group_of

    def labels(self) -> list[str]:
        """Name the classes; see `LabelledFiles`."""
        return self._classes("")

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `LabelledFiles`."""
        for label in self.labels():
            for name, image in self._class_files(label).items():
                path = f"{label}/{name}"
                split = self._ratios.split_of(self._group_of(name) or path)
                yield LabelledFile(split, label, path, image)


class ByFolder(LabelledFiles):
    """`<split>/<Class>/<file>`."""

    layout = "<split>/<Class>/<file>"
    depth = 2
    hint = "where the classes are on top, give --split-by ratio"

    def labels(self) -> list[str]:
        """Name the classes; see `LabelledFiles`."""
        return sorted({label for split in self._splits() for label in self._classes(split)})

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `LabelledFiles`."""
        for split in self._splits():
            for label in self._classes(split):
                for name, image in self._class_files(f"{split}/{label}").items():
                    yield LabelledFile(split, label, f"{split}/{label}/{name}", image)

    def _splits(self) -> list[str]:
        return self._classes("")


class ByLists(LabelledFiles):
    """`<Class>/<file>`, and lists that name the files of each split.

    What is listed and missing fails by name, and so does what is there and in no list, in a split of its own.

    Args:
        folder: the input.
        kind: of the files.
        lists: each list, such as `val=lists/testlist01.txt`, or `val.txt`, which is named for its split; every .txt
            beside the classes where there are none.
    """

    layout = "<Class>/<file> and lists of them, such as train.txt"
    depth = 1
    hint = "where the folders above the classes are the splits, give --split-by folder"

    def __init__(self, folder: Folder, kind: Kind, lists: Sequence[str]) -> None:
        super().__init__(folder, kind)
        self._lists = _of_split(lists or self._lists_beside())

    def labels(self) -> list[str]:
        """Name the classes; see `LabelledFiles`."""
        holding_lists = {name.partition("/")[0] for names in self._lists.values() for name in names}
        return [label for label in self._classes("") if label not in holding_lists]

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `LabelledFiles`."""
        named = {split: [self.base + name for name in names] for split, names in self._lists.items()}
        present = {label: self._class_files(label) for label in self.labels()}
        for split, label, name in listed_files(self._folder, named, self._kind):
            image = present.get(label, {}).pop(name, None)
            fault = "" if image else f"no such {self._kind.noun}, though it is listed"
            yield LabelledFile(split, label, f"{label}/{name}", image or name, fault)
        fault = f"in no list; list it, or leave it out: --splits {','.join(self._lists)}"
        for label, names in present.items():
            for name, image in names.items():
                yield LabelledFile(UNLISTED, label, f"{label}/{name}", image, fault)

    def _lists_beside(self) -> list[str]:
        entries = self._folder.list(self.base.rstrip("/"))
        names = [entry.name.removeprefix(self.base) for entry in entries if not entry.is_folder]
        found = [name for name in names if name.endswith(".txt")]
        if not found:
            raise InputError(
                f"{self._folder.address}/{self.base}: no list beside the classes; expected one a split, such as "
                "train.txt, or name them: --split-files val=lists/testlist01.txt"
            )
        return found


def _of_split(lists: Sequence[str]) -> dict[str, list[str]]:
    """Group lists by split: `val=lists/testlist01.txt`, or `val.txt`, which is named for its split."""
    found: dict[str, list[str]] = {}
    for text in lists:
        split, equals, name = text.partition("=")
        found.setdefault(split if equals else PurePosixPath(text).stem, []).append(name if equals else text)
    return found
