"""How clips or images lie in folders named for their class, and what names their split: a folder above, or lists.

Each layout refuses by name what it would otherwise leave out silently, and knows the classes without listing the files.
Classes and files come in the order of their code points, whatever the file system says. Files of another kind (notes,
thumbnails) and hidden ones are not samples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

from ...schema.errors import InputError
from ...schema.splits import split_name
from ...storage import Entry, Folder, check_readable, name_key


class Kind(NamedTuple):
    """What the files are: their name for people, also with its article, and the suffixes that tell them, sorted."""

    noun: str
    one: str
    endings: str

    def has(self, name: str) -> bool:
        """Tell by its name whether a file is of this kind."""
        return PurePosixPath(name).suffix.lower() in self.endings.split()


CLIPS = Kind("clip", "a clip", ".avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .webm .wmv")
IMAGES = Kind("image", "an image", ".bmp .gif .jpeg .jpg .png .ppm .tif .tiff .webp")


class LabelledFile(NamedTuple):
    """One file, as it lies in its layout."""

    split: str | None  # None where that is not for the layout to say
    label: str  # its class
    path: str  # below the layout's `base`
    image: str  # what its images are named for, below the split: <Class>/<stem>, or <Class>/<file> where two share one
    failure: str = ""  # why it cannot be used, "" where it can


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`<Class>/<file>`, in the folder itself or inside one more, as archives unpack."""

    form: ClassVar[str] = "<Class>/<file>"
    depth: ClassVar[int] = 1
    hint: ClassVar[str] = "where the folders above the classes are the splits, give --split-by folder"

    folder: Folder
    kind: Kind
    inside: str | None = None  # what all paths start with, "" or ending in a slash; None to find that out

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
                split, place = (split_name(above), f"{above}/{label}") if above else (None, label)
                for name, image in self._class_files(place).items():
                    yield LabelledFile(split, label, f"{place}/{name}", f"{label}/{image}")

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
    """`<split>/<Class>/<file>`."""

    form: ClassVar[str] = "<split>/<Class>/<file>"
    depth: ClassVar[int] = 2
    hint: ClassVar[str] = "where the classes are on top, give --split-by ratio"

    splits: Sequence[str] = ()  # the folders that are splits, in their order; every folder where not given

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


@dataclass(frozen=True, kw_only=True)
class ByLists(Layout):
    """`<Class>/<file>`, and lists that name the files of each split, one a line.

    A number after a name, as lists for training have it, is passed over. What is listed and missing fails by name, and
    so does what is there and in no list, in a split `unlisted`.
    """

    form: ClassVar[str] = "<Class>/<file> and lists of them, such as train.txt"

    lists: Sequence[tuple[str, str]]  # each after its split; where empty, every .txt beside the classes, by its name
    lists_folder: Folder | None = None  # where they lie; beside the classes where not given

    def labels(self) -> list[str]:
        """Name the classes; see `Layout`."""
        return sorted({label for _, label, _ in self._listed()})

    def files(self) -> Iterator[LabelledFile]:
        """Yield every file: the splits in turn, each by class and name; see `Layout`."""
        present = {label: self._class_files(label) for label in self._classes() if not self._holds_lists(label)}
        for split, label, name in self._listed():
            image = present.get(label, {}).pop(name, None)
            failure = "" if image else f"no such {self.kind.noun}, though it is listed"
            yield LabelledFile(split, label, f"{label}/{name}", f"{label}/{image or PurePosixPath(name).stem}", failure)
        splits = ",".join(dict.fromkeys(split for split, _ in self._paths))
        failure = f"in no list; list it, or leave it out: --splits {splits}"
        for label, names in present.items():
            for name, image in names.items():
                yield LabelledFile("unlisted", label, f"{label}/{name}", f"{label}/{image}", failure)

    @property
    def _lists(self) -> Folder:
        return self.lists_folder or self.folder

    @cached_property
    def _paths(self) -> list[tuple[str, str]]:
        """Each list's split, and its path in the folder of lists."""
        if self.lists_folder:
            return list(self.lists)
        names = [entry.name.removeprefix(self.base) for entry in self._entries() if not entry.is_folder]
        beside = [(split_name(PurePosixPath(name).stem), name) for name in names if name.endswith(".txt")]
        if not self.lists and not beside:
            raise InputError(
                f"{self.folder.address}/{self.base}: no list beside the classes; expected one for each split, such as "
                "train.txt, or name them: --split-files val=lists/testlist01.txt"
            )
        return [(split, self.base + name) for split, name in self.lists or beside]

    def _listed(self) -> list[tuple[str, str, str]]:
        """Return the split, the class and the name of every file that is listed."""
        listed_in: dict[tuple[str, str], str] = {}
        found: dict[str, list[tuple[str, str]]] = {}
        for split, list_name in self._paths:
            files = found.setdefault(split, [])
            for where, label, name in self._lines(list_name):
                if earlier := listed_in.get((label, name)):
                    raise InputError(
                        f"{where}: {label}/{name} is already in {earlier}; "
                        f"{self.kind.one} belongs to one split, so remove one of the two lines"
                    )
                listed_in[label, name] = list_name
                files.append((label, name))
        if not listed_in:
            every = " and ".join(name for _, name in self._paths)
            raise InputError(f"{self._lists.address}: {every} name no {self.kind.noun}")
        return [(split, *file) for split, files in found.items() for file in sorted(files)]

    def _lines(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Yield the place of each line of a list, and the class and file that it names."""
        address, kind = f"{self._lists.address}/{name}", self.kind
        try:
            text = self._lists.read(name).decode("utf-8-sig")
        except FileNotFoundError:
            raise InputError(f"{address}: no such list, and the splits asked for need it") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{address}: not UTF-8 text ({error}); expected {kind.one} a line") from None
        for number, line in enumerate(text.split("\n"), start=1):
            file = re.sub(r"(?<=\S) \d+$", "", line.strip())
            label, slash, base = file.partition("/")
            if not file:
                continue
            where = f"{address}, line {number}"
            if not slash or "/" in base or label in {"", ".", ".."} or not kind.has(base):
                raise InputError(f"{where}: {file!r} is not {kind.one}; expected <Class>/<{kind.noun}>")
            yield where, label, base

    def _holds_lists(self, label: str) -> bool:
        folder = f"{self.folder.address}/{self.base}{label}/"
        return any(f"{self._lists.address}/{path}".startswith(folder) for _, path in self._paths)


def folders(folder: Folder, name: str) -> list[str]:
    """Return the paths of the folders directly inside `name`."""
    return [entry.name for entry in folder.list(name) if entry.is_folder]
