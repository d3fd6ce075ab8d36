from __future__ import annotations

import pytest

from phi3v_data.schema.errors import ConversionStopped
from phi3v_data.storage.temporary_tables import TemporaryTables

TABLE = "CREATE TABLE name (text TEXT)"


def test_rows_come_back_in_their_order() -> None:
    with TemporaryTables(TABLE) as tables:
        for name in "bac":
            tables.execute("INSERT INTO name VALUES (?)", (name,))
        assert [text for (text,) in tables.execute("SELECT text FROM name ORDER BY rowid")] == ["b", "a", "c"]


def test_a_full_disk_is_one_line_that_says_what_to_do() -> None:
    with TemporaryTables(TABLE) as tables:
        tables.execute("PRAGMA max_page_count = 8")
        with pytest.raises(ConversionStopped, match=r"database or disk is full.* set TMPDIR"):
            tables.execute("INSERT INTO name VALUES (?)", ("x" * 4096 * 64,))
