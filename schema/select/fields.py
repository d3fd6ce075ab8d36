"""What is known of a record by name: the fields of conditions, and of `--keep` and `--drop`."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import UNSET

from ..record import Record
from .conditions import Getter


class Seen(NamedTuple):
    """A record that a condition is asked about.

    Args:
        record: as it was read.
        split: it is of.
        dataset: the name of its dataset.
    """

    record: Record
    split: str
    dataset: str


FIELDS: dict[str, Getter] = {
    "answer": lambda seen: seen.record.conversations[-1].assistant,
    "answers": lambda seen: [turn.assistant for turn in seen.record.conversations],
    "dataset": lambda seen: seen.dataset,
    "group": lambda seen: meta_of(seen.record).get("group"),
    "id": lambda seen: seen.record.id,
    "images": lambda seen: list(seen.record.images()),
    "label": lambda seen: label_of(seen.record),
    "meta": lambda seen: meta_of(seen.record),
    "question": lambda seen: seen.record.conversations[0].user,
    "questions": lambda seen: [turn.user for turn in seen.record.conversations],
    "source": lambda seen: source_of(seen.record),
    "split": lambda seen: seen.split,
    "turns": lambda seen: len(seen.record.conversations),
}
"""The names that a condition may use; what a record lacks is None. `question` is of the first turn, `answer` of the
last."""


def meta_of(record: Record) -> dict[str, Any]:
    """Return a record's `meta`; empty where it has none."""
    return {} if record.meta is UNSET else record.meta


def label_of(record: Record) -> str | None:
    """Return `meta.label` as text, or None."""
    return _as_text(meta_of(record).get("label"))


def group_of(record: Record) -> str | None:
    """Return `meta.group` as text, or None; 7 and "7" are one group, as they are for the validator."""
    return _as_text(meta_of(record).get("group"))


def source_of(record: Record) -> str | None:
    """Return the converter that made a record, or None."""
    return None if record.source is UNSET else record.source


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else repr(value)
