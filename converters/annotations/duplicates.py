"""Pictures that several records show, under one name or several: found, put into one group, and told of."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from ...schema.folder import Folder
from ..base import Item
from .files import FileNames
from .questions import sample_of

__all__ = ["Duplicates", "find_duplicates"]

_log = logging.getLogger(__name__)


class _Shown(NamedTuple):
    """A record, and the group it would have by itself."""

    id: str
    split: str
    group: str


class Duplicates:
    """The records that show a picture which others show, too.

    Args:
        together: all of them that show the same picture, by the picture's path.
    """

    def __init__(self, together: dict[str, list[_Shown]]) -> None:
        self._together = together

    def noted(self, item: Item) -> Item:
        """Return an item whose record names the others, and has the group of their first."""
        shown = self._together.get(item.shared)
        if item.fault or shown is None:
            return item
        sample = sample_of(item)
        others = sorted({record.id for record in shown} - {item.id})
        meta = {**sample.meta, "group": shown[0].group, "duplicates": others}
        return replace(item, data=replace(sample, meta=meta).as_data())


def find_duplicates(folder: Folder, files: FileNames, items: Iterable[Item]) -> Duplicates:
    """Find the pictures of equal bytes, and log how many are in more than one split.

    Only those of equal size are read, so of a large data set next to nothing is.

    Args:
        folder: the input.
        files: what lies in it.
        items: all items; `shared` names the file of each one's picture.
    """
    by_path: dict[str, list[_Shown]] = {}
    by_size: dict[int, list[str]] = {}
    for item in items:
        if item.fault or not item.shared:
            continue
        if item.shared not in by_path:
            by_size.setdefault(files.size(item.shared), []).append(item.shared)
        by_path.setdefault(item.shared, []).append(_Shown(item.id, item.split, sample_of(item).meta["group"]))
    together: dict[str, list[_Shown]] = {}
    across = 0
    for paths in by_size.values():
        by_content: dict[str, list[str]] = {}
        for path in paths:
            by_content.setdefault(folder.sha256(path) if len(paths) > 1 else "", []).append(path)
        for same in by_content.values():
            shown = [record for path in same for record in by_path[path]]
            if len({record.id for record in shown}) > 1:
                together.update(dict.fromkeys(same, shown))
                across += len({record.split for record in shown}) > 1
    if across:
        _log.warning(
            "%d pictures are in more than one split; meta.duplicates of their records names the others, and all of "
            "them have one meta.group",
            across,
        )
    return Duplicates(together)
