"""Images that no record shows: what failed items left behind, in this run or in one that was killed."""

from __future__ import annotations

from collections.abc import Mapping

from ...schema.record import decode_record
from ...storage import Folder
from .messages import PLANNED, Failure
from .outcomes import Outcomes
from .sink import is_own

__all__ = ["discard_unshown"]


def discard_unshown(out: Folder, images: str, outcomes: Outcomes) -> None:
    """Remove every image that lies under the names of failed items and that no record shows.

    Each folder is listed once, however many items failed.

    Args:
        out: the dataset folder.
        images: the folder in it that images go to.
        outcomes: what became of every item.
    """
    shown: dict[str, set[str]] = {
        settled.item.images: set()
        for settled in outcomes
        if isinstance(settled.result, Failure) and settled.result.stage not in PLANNED
    }
    if not shown:
        return
    for settled in outcomes:
        # Only shared images can be a failed item's and another's.
        if settled.item.shared and isinstance(settled.result, bytes) and settled.item.images in shown:
            shown[settled.item.images].update(decode_record(settled.result).images())
    for folder in sorted({prefix.rpartition("/")[0] for prefix in shown}):
        for name in _names(out, images, folder):
            owner = _owner(name, shown)
            if owner is not None and name not in shown[owner]:
                out.delete(f"{images}/{name}")


def _names(out: Folder, images: str, folder: str) -> list[str]:
    try:
        entries = out.list(f"{images}/{folder}" if folder else images)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [entry.name.removeprefix(f"{images}/") for entry in entries if not entry.is_folder]


def _owner(name: str, prefixes: Mapping[str, object]) -> str | None:
    """Return which of the prefixes an image's name belongs to."""
    stem = name.rpartition(".")[0]
    candidates = (stem, stem.rpartition(".")[0])
    return next((prefix for prefix in candidates if prefix in prefixes and is_own(name, prefix)), None)
