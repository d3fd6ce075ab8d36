"""What a record says of itself."""

from __future__ import annotations

from typing import Any

from phi3v_data.schema.record import Record


def meta_of(record: Record) -> dict[str, Any]:
    """The record's `meta`; it has one."""
    assert isinstance(record.meta, dict), f"the record {record.id} has no meta"
    return record.meta
