"""Rows about one image as one conversation, wherever they stand in their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import msgspec
from msgspec.structs import replace

from ...storage.temporary_tables import TemporaryTables
from ..base import Item
from ..sample import Sample, failed_item

__all__ = ["conversations"]

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
            kept = item if item.failure else _second_fails(table, item)
            table.execute("INSERT INTO item VALUES (?, ?)", (_key(kept), msgspec.json.encode(kept)))
        found = table.execute(
            "SELECT MIN(rowid) OVER (PARTITION BY conversation) AS first, value FROM item ORDER BY first, rowid"
        )
        for _, rows in groupby(found, key=itemgetter(0)):
            yield from _joined([msgspec.json.decode(value, type=Item) for _, value in rows], name)


def _second_fails(table: TemporaryTables, item: Item) -> Item:
    if table.execute("INSERT OR IGNORE INTO taken VALUES (?, ?)", (item.id, item.path)).rowcount:
        return item
    (first,) = table.execute("SELECT path FROM taken WHERE id = ?", (item.id,)).fetchone()
    return failed_item(item.path, item.split, f"its id {item.id!r} is already that of {first}")


def _key(item: Item) -> str:
    if item.failure:
        return f"failed {item.path}"
    return f"shared {item.split} {item.shared}" if item.shared else f"alone {item.id}"


def _joined(items: list[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    if items[0].failure:
        yield from items
        return
    first, *others = items
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
