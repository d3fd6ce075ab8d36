"""How clips or images lie in folders named for their class, and perhaps for their split.

Each layout refuses by name what it would otherwise leave out silently, and knows the classes without listing the files.
Classes and files come in the order of their code points, whatever the file system says. Files of another kind (notes,
thumbnails) and hidden ones are not samples. `split_lists` and `captioned` have layouts of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

from ...schema.errors import InputError
from ...schema.splits import split_name
from ...storage import Entry, Folder, check_readable, name_key

__all__ = ["CLIPS", "IMAGES", "ByFolder", "Kind", "LabelledFile", "Layout", "folders"]


class Kind(NamedTuple):
    """What the files are: their name for people, and the suffixes that tell them, in lower case."""

    noun: str
    suffixes: frozenset[str]

    @property
    def one(self) -> str:
        """One of them, with its article."""
        return f"an {self.noun}" if self.noun[0] in "aeiou" else f"a {self.noun}"

    @property
    def endings(self) -> str:
        """The suffixes as people are shown them."""
        return " ".join(sorted(self.suffixes))

    def has(self, name: str) -> bool:
        """Tell by its name whether a file is of this kind."""
        return PurePosixPath(name).suffix.lower() in self.suffixes


CLIPS = Kind("clip", frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}))
IMAGES = Kind("image", frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}))


class LabelledFile(NamedTuple):
    """One file.

    Args:
        split: where it belongs, "" where that is not for the layout to say.
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
class Layout:
    """`<Class>/<file>`.

    Args:
        folder: the input.
        kind: of the files.
        inside: what their paths start with, "" or ending in a slash; None to look whether they lie in the folder itself
            or inside one more, as archives unpack.
    """

    form: ClassVar[str] = "<Class>/<file>"
    depth: ClassVar[int] = 1
    hint: ClassVar[str] = "where the folders above the classes are the splits, give --split-by folder"

    folder: Folder
    kind: Kind
    inside: str | None = None

    def labels(self) -> list[str]:
        """Name the classes, sorted.

        Raises:
            InputError: the folder cannot be read, or is laid out in another way; from `files`, too.
        """
        return sorted({label for above in self._above() for label in self._classes(above)})

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file, in order."""
        for above in self._above():
            for label in self._classes(above):
                place = f"{above}/{label}" if above else label
                for name, image in self._class_files(place).items():
                    yield LabelledFile(split_name(above), label, f"{place}/{name}", f"{label}/{image}")

    @cached_property
    def base(self) -> str:
        """What the paths of the files start with, "" or ending in a slash."""
        check_readable(self.folder)
        if self.inside is not None:
            return self.inside
        some = self._some_file(Entry("", True, 0), self.depth + 2)
        deeper = some.count("/") - self.depth if some else 0
        wrappers = folders(self.folder, "")
        if deeper == 1 and len(wrappers) == 1:
            return f"{wrappers[0]}/"
        if some and "/" in some and deeper:
            raise self._refused(some, f"{self.kind.one} where none is expected; {self._expected}; {self.hint}")
        return ""

    @property
    def _expected(self) -> str:
        return f"expected {self.form}, with {self.kind.noun}s ending in {self.kind.endings}"

    def _refused(self, name: str, reason: str) -> InputError:
        return InputError(f"{self.folder.address}/{name}".rstrip("/") + f": {reason}")

    def _above(self) -> Sequence[str]:
        """Name the folders that the classes lie in, each for its split; "" is the layout's own."""
        return [""]

    def _entries(self, name: str = "") -> list[Entry]:
        return self.folder.list((self.base + name).rstrip("/"))

    def _some_file(self, entry: Entry, depth: int = 2) -> str | None:
        """Name a file of the kind that is this entry or lies at most `depth` folders below it."""
        if not entry.is_folder:
            return entry.name if self.kind.has(entry.name) else None
        inside = self.folder.list(entry.name) if depth else []
        return next((file for below in inside if (file := self._some_file(below, depth - 1))), None)

    def _classes(self, name: str = "") -> list[str]:
        """Name the classes inside a folder; a file of the kind beside them is refused."""
        entries = self._entries(name)
        for entry in entries:
            if not entry.is_folder and self.kind.has(entry.name):
                raise self._refused(entry.name, f"{self.kind.one} in no class folder; {self._expected}")
        found = [PurePosixPath(entry.name).name for entry in entries if entry.is_folder]
        if not found:
            empty = "no folder inside" if entries else "an empty folder"
            raise self._refused(self.base + name, f"{empty}; {self._expected}")
        return found

    def _class_files(self, name: str) -> dict[str, str]:
        """Name the files of one class, each with what its images are named for; one that lies deeper is refused.

        A folder named like a file is one, and fails when it is read.
        """
        path, kind = self.base + name, self.kind
        entries = self._entries(name)
        for entry in entries:
            if not kind.has(entry.name) and (stray := self._some_file(entry)):
                where = f"{kind.one} below the class folder {path}; {kind.noun}s lie directly in it, so move it"
                raise self._refused(stray, where)
        files = [PurePosixPath(entry.name) for entry in entries if kind.has(entry.name)]
        if not files:
            without = f"a class folder without {kind.noun}s ({kind.endings}); put some there, or remove it"
            raise self._refused(path, without)
        stems = Counter(name_key(file.stem) for file in files)
        return {file.name: file.stem if stems[name_key(file.stem)] == 1 else file.name for file in files}


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

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file; see `Layout`."""
        for entry in self._entries() if self.splits else ():
            is_split = entry.name.removeprefix(self.base) in self.splits
            if not is_split and (stray := self._some_file(entry)):
                beside = f"{self.kind.one} beside the splits {', '.join(self.splits)}"
                hint = "move it into one of them, or rename its folder to train, val or test"
                raise self._refused(stray, f"{beside}; {hint}")
        yield from super().files()

    def _above(self) -> Sequence[str]:
        return self.splits or self._classes()


def folders(folder: Folder, name: str) -> list[str]:
    """Return the paths of the folders directly inside `name`."""
    return [entry.name for entry in folder.list(name) if entry.is_folder]
