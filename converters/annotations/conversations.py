"""Rows about one picture as one conversation, wherever they stand in their files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter

import msgspec
from msgspec.structs import replace

from ..base import Item
from .forms import faulty
from .questions import sample_of

__all__ = ["conversations"]


def conversations(items: Iterable[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    """Join the items that share a picture, each conversation in the place of its first.

    The items wait in a temporary file, so memory does not grow with their number. Items with a fault, and second ones
    of an id, stay by themselves.

    Args:
        items: items with one question each.
        name: the id of the conversation that an item belongs to.
    """
    with closing(sqlite3.connect("")) as table:  # SQLite's own temporary file
        with table:
            table.execute("CREATE TABLE item (conversation TEXT, value BLOB)")
            table.executemany(
                "INSERT INTO item VALUES (?, ?)",
                ((_key(item), msgspec.json.encode(item)) for item in items),
            )
        found = table.execute(
            "SELECT MIN(rowid) OVER (PARTITION BY conversation) AS first, value FROM item ORDER BY first, rowid"
        )
        for _, rows in groupby(found, key=itemgetter(0)):
            yield from _joined([msgspec.json.decode(value, type=Item) for _, value in rows], name)


def _key(item: Item) -> str:
    if item.fault:
        return f"fault {item.path}"
    return f"shared {item.shared}" if item.shared else f"alone {item.id}"


def _joined(items: list[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    if items[0].fault:
        yield from items
        return
    by_id: dict[str, Item] = {}
    for item in items:
        if item.id in by_id:
            yield faulty(item.path, item.split, f"its id {item.id!r} is already that of {by_id[item.id].path}")
        else:
            by_id[item.id] = item
    first, *others = by_id.values()
    samples = [sample_of(item) for item in by_id.values()]
    sample = replace(
        samples[0],
        questions=[question for sample in samples for question in sample.questions],
        # What is true of each of them is true of the conversation.
        meta={key: value for key, value in samples[0].meta.items() if all(s.meta.get(key) == value for s in samples)},
    )
    path = f"{first.path} and {len(others)} more" if others else first.path
    yield replace(first, id=name(first), path=path, data=sample.as_data())
