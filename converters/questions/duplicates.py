"""Images that several records show, under one name or several: found, counted, and put into one group."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from msgspec.structs import replace

from ...storage import Folder
from ..base import Item
from ..sample import Sample
from .files import FileNames

__all__ = ["Duplicates", "find_duplicates"]

_log = logging.getLogger(__name__)


class Duplicates:
    """The items that show an image which others show, too.

    Args:
        together: all of them that show the same image, by the image's path.
    """

    def __init__(self, together: dict[str, list[Item]]) -> None:
        self._together = together

    def noted(self, item: Item) -> Item:
        """Return an item whose record names the others, and has the group and the image of their first."""
        same = self._together.get(item.shared)
        if item.failure or same is None:
            return item
        sample, first = Sample.of(item), Sample.of(same[0])
        others = sorted({other.id for other in same} - {item.id})
        meta = {**(sample.meta or {}), "group": (first.meta or {})["group"], "duplicates": others}
        data = replace(sample, images=first.images, meta=meta).as_data()
        return replace(item, images=same[0].images, shared=same[0].shared, data=data)


def find_duplicates(folder: Folder, files: FileNames, items: Iterable[Item]) -> Duplicates:
    """Find the images of equal bytes, and log how many are in more than one split.

    Only those of equal size are read, so of a large data set next to nothing is.

    Args:
        folder: the input.
        files: what lies in it.
        items: all items, with one image each; `shared` is its path.
    """
    by_path: dict[str, list[Item]] = {}
    by_size: dict[int, list[str]] = {}
    for item in items:
        if item.failure or not item.shared:
            continue
        if item.shared not in by_path:
            by_size.setdefault(files.size(item.shared), []).append(item.shared)
        by_path.setdefault(item.shared, []).append(item)
    together: dict[str, list[Item]] = {}
    across = 0
    for paths in by_size.values():
        by_content: dict[str, list[str]] = {}
        for path in paths:
            by_content.setdefault(folder.sha256(path) if len(paths) > 1 else "", []).append(path)
        for alike in by_content.values():
            same = [item for path in alike for item in by_path[path]]
            if len({item.id for item in same}) > 1:
                together.update(dict.fromkeys(alike, same))
                across += len({item.split for item in same}) > 1
    if across:
        _log.warning(
            "images in more than one split: %d; meta.duplicates of their records names the others, and all of them "
            "have one meta.group",
            across,
        )
    return Duplicates(together)
