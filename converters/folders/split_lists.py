"""Lists that say which file is in which split: `<Class>/<file>` a line.

A number after it, as lists for training have it, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar

from ...schema.errors import InputError
from ...schema.splits import split_name
from ...storage import Folder
from .layouts import LabelledFile, Layout

__all__ = ["ByLists"]

# The split of files that are there and stand in no list.
_UNLISTED = "unlisted"


@dataclass(frozen=True, kw_only=True)
class ByLists(Layout):
    """`<Class>/<file>`, and lists that name the files of each split.

    What is listed and missing fails by name, and so does what is there and in no list, in a split of its own.

    Args:
        lists: each list after its split; every .txt beside the classes, named for its split, where there are none.
        lists_folder: where the lists lie; beside the classes where not given.
    """

    form: ClassVar[str] = "<Class>/<file> and lists of them, such as train.txt"

    lists: Sequence[tuple[str, str]]
    lists_folder: Folder | None = None

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
                yield LabelledFile(_UNLISTED, label, f"{label}/{name}", f"{label}/{image}", failure)

    @cached_property
    def _paths(self) -> list[tuple[str, str]]:
        """Each list's split, and its path in the folder of lists."""
        below = "" if self.lists_folder else self.base
        return [(split, below + name) for split, name in self.lists or self._lists_beside()]

    @property
    def _lists(self) -> Folder:
        return self.lists_folder or self.folder

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

    def _lists_beside(self) -> list[tuple[str, str]]:
        names = [entry.name.removeprefix(self.base) for entry in self._entries() if not entry.is_folder]
        found = [(split_name(PurePosixPath(name).stem), name) for name in names if name.endswith(".txt")]
        if not found:
            raise InputError(
                f"{self.folder.address}/{self.base}: no list beside the classes; expected one for each split, such as "
                "train.txt, or name them: --split-files val=lists/testlist01.txt"
            )
        return found
