"""Shared pictures, which outlive the items that failed: those that no record shows are removed at the end."""

from __future__ import annotations

from ...schema.folder import Folder
from ...schema.record import decode_record
from .messages import Failure
from .outcomes import Outcomes
from .work import own_pictures

__all__ = ["discard_unshown"]


def discard_unshown(out: Folder, pictures: str, outcomes: Outcomes) -> None:
    """Remove every shared picture that only failed items have stored.

    Args:
        out: the dataset folder.
        pictures: the folder in it that pictures go to.
        outcomes: what became of every item.
    """
    shown: dict[str, set[str]] = {
        settled.item.pictures: set()
        for settled in outcomes
        if settled.item.shared and isinstance(settled.result, Failure)
    }
    if not shown:
        return
    for settled in outcomes:
        if isinstance(settled.result, bytes) and settled.item.pictures in shown:
            shown[settled.item.pictures].update(decode_record(settled.result).images())
    for prefix, names in shown.items():
        for name in own_pictures(out, pictures, prefix):
            if name not in names:
                out.delete(f"{pictures}/{name}")
