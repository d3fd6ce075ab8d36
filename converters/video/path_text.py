"""A clip's path as text: in messages, and for libraries that take nothing else."""

from __future__ import annotations

from pathlib import Path

from ...schema.errors import MediaError

__all__ = ["shown_name", "text_path"]


def shown_name(path: Path) -> str:
    """Name a file in a message of one line, whatever its name holds."""
    return path.name if path.name.isprintable() else repr(path.name)


def text_path(path: Path, library: str) -> str:
    """Return a file's path for a library that takes text alone, and would take the start of it for a protocol.

    Raises:
        MediaError: the name is not valid text; OpenCV 5.0 would crash over it.
    """
    name = str(path.absolute())
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise MediaError(f"{shown_name(path)}: {library} does not open files whose names are not text; choose pyav")
    return name
