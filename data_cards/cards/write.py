"""Write a card into a folder, over an earlier one of ours or where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...storage import Folder
from .sections import Section, merge

CARD = "README.md"


def write_card(folder: Folder, front: Mapping[str, Any], sections: Sequence[Section]) -> list[str]:
    """Write `README.md`.

    Returns:
        The names of sections and keys that were left as a person edited them.

    Raises:
        OutputError: the card there is somebody else's.
    """
    existing = folder.read(CARD).decode("utf-8", "replace") if folder.exists(CARD) else None
    merged = merge(existing, front, sections, f"{folder.address}/{CARD}")
    if merged.text != existing:
        folder.write(CARD, merged.text.encode())
    return merged.kept
