"""Lists that say which file is in which split: `<Class>/<file>` a line.

A number after it, as lists for training have it, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...schema.errors import InputError
from ...storage import Folder
from .class_folders import Kind

__all__ = ["UNLISTED", "SplitFile", "listed_files"]

# The split of files that are there and stand in no list.
UNLISTED = "unlisted"


class SplitFile(NamedTuple):
    """One file: its split, its class, its name."""

    split: str
    label: str
    name: str


def listed_files(lists: Folder, of_split: Mapping[str, Sequence[str]], kind: Kind) -> list[SplitFile]:
    """Read each split's lists of files of a kind; return the splits in turn, each by class and name.

    Raises:
        InputError: a list is missing or not UTF-8, a line names no file, a file is listed twice, or none is.
    """
    seen: dict[tuple[str, str], str] = {}
    found: list[SplitFile] = []
    for split, names in of_split.items():
        files = []
        for list_name in names:
            for where, label, name in _lines(lists, list_name, kind):
                if (label, name) in seen:
                    raise InputError(
                        f"{where}: {label}/{name} is already in {seen[label, name]}; "
                        f"{kind.one} belongs to one split, so remove one of the two lines"
                    )
                seen[label, name] = list_name
                files.append(SplitFile(split, label, name))
        found += sorted(files)
    if not found:
        every = " and ".join(name for names in of_split.values() for name in names)
        raise InputError(f"{lists.address}: {every} name no {kind.noun}")
    return found


def _lines(lists: Folder, name: str, kind: Kind) -> Iterator[tuple[str, str, str]]:
    """Yield the place of each line, and the class and file that it names."""
    try:
        text = lists.read(name).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{lists.address}/{name}: no such list, and the splits asked for need it") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{lists.address}/{name}: not UTF-8 text ({error}); expected {kind.one} a line") from None
    for number, line in enumerate(text.split("\n"), start=1):
        file = re.sub(r"(?<=\S) \d+$", "", line.strip())
        label, slash, base = file.partition("/")
        if not file:
            continue
        if not slash or "/" in base or label in {"", ".", ".."} or not kind.has(base):
            raise InputError(
                f"{lists.address}/{name}, line {number}: {file!r} is not {kind.one}; expected <Class>/<{kind.noun}>"
            )
        yield f"{lists.address}/{name}, line {number}", label, base
