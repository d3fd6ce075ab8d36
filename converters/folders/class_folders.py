"""Files in folders named for their class: clips or images, and none of them is left out silently.

Classes and files come in the order of their code points, whatever the file system says. Files of another kind (notes,
thumbnails) and hidden ones are not samples; a file of the kind where none belongs is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from ...schema.errors import InputError
from ...storage import Folder, name_key

__all__ = ["CLIPS", "IMAGES", "Kind", "check_labels", "class_files", "classes", "folders", "some_file"]


class Kind(NamedTuple):
    """What the files are: their name for people, and the suffixes that tell them, in lower case."""

    noun: str
    suffixes: frozenset[str]

    @property
    def one(self) -> str:
        """One of them, with its article."""
        return f"an {self.noun}" if self.noun[0] in "aeiou" else f"a {self.noun}"

    def has(self, name: str) -> bool:
        """Tell by its name whether a file is of this kind."""
        return PurePosixPath(name).suffix.lower() in self.suffixes


CLIPS = Kind("clip", frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}))
IMAGES = Kind("image", frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}))


def folders(folder: Folder, name: str) -> list[str]:
    """Return the paths of the folders directly inside `name`."""
    return [entry.name for entry in folder.list(name) if entry.is_folder]


def classes(folder: Folder, name: str, kind: Kind, expected: str) -> list[str]:
    """Name the classes inside a folder of classes.

    Args:
        folder: the input.
        name: a folder in it; "" is the input itself.
        kind: of the files.
        expected: the layouts that are read, for the message.

    Raises:
        InputError: there are none, or a file of the kind lies beside them.
    """
    entries = folder.list(name)
    for entry in entries:
        if not entry.is_folder and kind.has(entry.name):
            raise InputError(f"{folder.address}/{entry.name}: {kind.one} in no class folder; {expected}")
    found = [PurePosixPath(entry.name).name for entry in entries if entry.is_folder]
    if not found:
        where = f"{folder.address}/{name}".rstrip("/")
        raise InputError(f"{where}: {'no folder inside' if entries else 'an empty folder'}; {expected}")
    return found


def class_files(folder: Folder, name: str, kind: Kind) -> list[str]:
    """Name the files of one class; a folder named like a file is one, and fails when it is read.

    Raises:
        InputError: there are none, or one lies deeper.
    """
    entries = folder.list(name)
    for entry in entries:
        if not kind.has(entry.name) and (stray := some_file(folder, entry.name, kind, is_folder=entry.is_folder)):
            raise InputError(
                f"{folder.address}/{stray}: {kind.one} below the class folder {name}; "
                f"{kind.noun}s lie directly in it, so move it"
            )
    names = [PurePosixPath(entry.name).name for entry in entries if kind.has(entry.name)]
    if not names:
        raise InputError(
            f"{folder.address}/{name}: a class folder without {kind.noun}s ({' '.join(sorted(kind.suffixes))}); "
            "put some there, or remove it"
        )
    return names


def some_file(folder: Folder, name: str, kind: Kind, *, is_folder: bool, depth: int = 2) -> str | None:
    """Name a file of the kind that is this entry or lies at most `depth` folders below it."""
    if not is_folder:
        return name if kind.has(name) else None
    inside = folder.list(name) if depth else []
    found = (some_file(folder, entry.name, kind, is_folder=entry.is_folder, depth=depth - 1) for entry in inside)
    return next((file for file in found if file), None)


def check_labels(folder: Folder, labels: Iterable[str]) -> None:
    """Make sure that classes can be written down, and told apart by every file system.

    Raises:
        InputError: one is not named in UTF-8, or two differ only in case or Unicode form.
    """
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
