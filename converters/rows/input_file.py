"""An input that is one file of rows, rather than a folder."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from ...storage import Folder, open_folder

__all__ = ["InputFile", "input_file"]


class InputFile(NamedTuple):
    """The folder of raw data, and the one file of it that was given, "" where the folder was."""

    folder: Folder
    name: str


def input_file(given: Folder, suffixes: tuple[str, ...]) -> InputFile:
    """Return the folder around an input that is a file with one of the suffixes; the input itself where it is not."""
    parent, _, name = given.address.rpartition("/")
    if parent and PurePosixPath(name).suffix.lower() in suffixes:
        around = open_folder(parent)
        if any(entry.name == name and not entry.is_folder for entry in around.list()):
            return InputFile(around, name)
    return InputFile(given, "")
