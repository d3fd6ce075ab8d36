"""Questions about one image, wherever they stand in their files: joined to one conversation, or told of one another."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import msgspec
from msgspec.structs import replace

from ...storage import Folder
from ...storage.temporary_tables import TemporaryTables
from ..base import Item
from ..sample import Sample, failed_item
from .annotations import FileNames

_log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE taken (id TEXT PRIMARY KEY, path TEXT) WITHOUT ROWID;
CREATE TABLE item (conversation TEXT, value BLOB);
"""


def conversations(items: Iterable[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    """Join the items of a split that share an image, each conversation in the place of its first.

    The items, of one question each, wait in a temporary file, so memory does not grow with their number. Failed items
    stay by themselves; so do second ones of an id, whichever image they share, and they fail. `name` gives the id of
    the conversation that an item belongs to.
    """
    with TemporaryTables(_TABLES) as table:
        for item in items:
            taker = (item.id, item.path)
            if not item.failure and not table.execute("INSERT OR IGNORE INTO taken VALUES (?, ?)", taker).rowcount:
                (first,) = table.execute("SELECT path FROM taken WHERE id = ?", (item.id,)).fetchone()
                item = failed_item(item.path, item.split, f"its id {item.id!r} is already that of {first}")
            alone = f"failed {item.path}" if item.failure else f"alone {item.id}"
            key = f"shared {item.split} {item.shared}" if item.shared and not item.failure else alone
            table.execute("INSERT INTO item VALUES (?, ?)", (key, msgspec.json.encode(item)))
        found = table.execute(
            "SELECT MIN(rowid) OVER (PARTITION BY conversation) AS first, value FROM item ORDER BY first, rowid"
        )
        for _, rows in groupby(found, key=itemgetter(0)):
            yield from _joined([msgspec.json.decode(value, type=Item) for _, value in rows], name)


def _joined(items: list[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    first, *others = items
    if first.failure:
        yield from items
        return
    samples = [Sample.of(item) for item in items]
    metas = [sample.meta or {} for sample in samples]
    sample = replace(
        samples[0],
        turns=[turn for sample in samples for turn in sample.turns],
        # What is true of each of them is true of the conversation.
        meta={key: value for key, value in metas[0].items() if all(meta.get(key) == value for meta in metas)},
    )
    path = f"{first.path} and {len(others)} more" if others else first.path
    yield replace(first, id=name(first), path=path, data=sample.as_data())


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
