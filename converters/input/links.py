"""Symbolic links in a folder of raw data that lead out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...schema.errors import InputError
from ...schema.wording import counted

__all__ = ["refuse_links_out"]


def refuse_links_out(folder: Path) -> None:
    """Make sure that no link in a folder leads out of it.

    Raises:
        InputError: one does; the message names the first.
    """
    found = sorted(_links_out(folder))
    if found:
        raise InputError(
            f"{folder}: {counted(len(found), 'link')} to places outside, such as {found[0]}; remove what is not meant, "
            "or rerun without --no-follow-links"
        )


def _links_out(folder: Path) -> Iterator[str]:
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(parent, name)
            # A link that leads nowhere, or to itself, is its reader's to name.
            if path.is_symlink() and path.exists() and not path.resolve().is_relative_to(root):
                yield path.relative_to(root).as_posix()
