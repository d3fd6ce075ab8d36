"""Images that several records show, under one name or several: found, counted, and put into one group."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from ...storage import Folder
from ..base import Item
from ..sample import Sample
from .files import FileNames

__all__ = ["with_duplicates_named"]

_log = logging.getLogger(__name__)


def with_duplicates_named(folder: Folder, files: FileNames, find: Callable[[], Iterable[Item]]) -> Iterator[Item]:
    """Yield items; of those that show one image, each names the others and has the group and the image of the first.

    How many images are in more than one split is logged. Only files of equal size are read, so of a large data set
    next to nothing is. `find` is called twice; its items have one image each, and `shared` is its path.
    """
    groups = _groups(folder, files, find())
    across = sum(len({item.split for item in same}) > 1 for same in groups)
    if across:
        _log.warning(
            "images in more than one split: %d; meta.duplicates of their records names the others, and all of them "
            "have one meta.group",
            across,
        )
    together = {item.shared: same for same in groups for item in same}
    for item in find():
        same = together.get(item.shared)
        if same and not item.failure:
            sample, first = Sample.of(item), Sample.of(same[0])
            others = sorted({other.id for other in same} - {item.id})
            meta = {**(sample.meta or {}), "group": (first.meta or {})["group"], "duplicates": others}
            data = replace(sample, images=first.images, meta=meta).as_data()
            item = replace(item, images=same[0].images, shared=same[0].shared, data=data)
        yield item


def _groups(folder: Folder, files: FileNames, items: Iterable[Item]) -> list[list[Item]]:
    """Put the items together that show images of equal bytes, where there are several."""
    by_path: dict[str, list[Item]] = {}
    for item in items:
        if not item.failure and item.shared:
            by_path.setdefault(item.shared, []).append(item)
    sizes = {path: files.size(path) for path in by_path}
    alike = Counter(sizes.values())
    by_content: dict[tuple[int, str], list[Item]] = {}
    for path, size in sizes.items():
        digest = folder.sha256(path) if alike[size] > 1 else ""
        by_content.setdefault((size, digest), []).extend(by_path[path])
    return [same for same in by_content.values() if len({item.id for item in same}) > 1]
