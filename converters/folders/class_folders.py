"""Files in folders named for their class: clips or images, and none of them is left out silently.

Classes and files come in the order of their code points, whatever the file system says. Files of another kind (notes,
thumbnails) and hidden ones are not samples; a file of the kind where none belongs is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from ...schema.errors import InputError
from ...storage import Entry, Folder, name_key

__all__ = ["CLIPS", "IMAGES", "Kind", "check_labels", "folders", "some_file"]


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


def folders(folder: Folder, name: str) -> list[str]:
    """Return the paths of the folders directly inside `name`."""
    return [entry.name for entry in folder.list(name) if entry.is_folder]


def some_file(folder: Folder, entry: Entry, kind: Kind, depth: int = 2) -> str | None:
    """Name a file of the kind that is this entry or lies at most `depth` folders below it."""
    if not entry.is_folder:
        return entry.name if kind.has(entry.name) else None
    inside = folder.list(entry.name) if depth else []
    return next((file for below in inside if (file := some_file(folder, below, kind, depth - 1))), None)


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
