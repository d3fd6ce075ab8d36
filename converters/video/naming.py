"""A clip's name, for people and for libraries."""

from __future__ import annotations

from pathlib import Path

from ...schema.errors import MediaError

__all__ = ["shown_name", "text_name"]


def shown_name(path: Path) -> str:
    """Name a file in a message of one line, whatever its name holds."""
    return path.name if path.name.isprintable() else repr(path.name)


def text_name(path: Path, library: str) -> str:
    """Return a file's name for a library that takes nothing but text, and the start of it for a protocol.

    Raises:
        MediaError: the name is no text; OpenCV 5.0 would crash over it.
    """
    name = str(path.absolute())
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise MediaError(f"{shown_name(path)}: {library} does not open files whose names are no text; choose pyav")
    return name
