"""One row, or why there is none where one should be."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ...schema.errors import ItemError

__all__ = ["LONGEST_ROW", "Row", "decoded_row"]

# Most bytes of one row's text: a longer one is a damaged file, and must not fill the memory.
LONGEST_ROW = 64 << 20


class Row(NamedTuple):
    """One row of a file.

    Args:
        place: where it stands, as people are shown it: `train.jsonl:17` or `train-00000.parquet, row 17`; lines and
            rows are counted from 1.
        number: its number in the file, from 0.
        values: its cells by column, as plain JSON values; None where this is not a row.
        failure: why it is not a row, "" where it is one.
        file: its path in the input; `read_rows` fills it in.
    """

    place: str
    number: int
    values: dict[str, Any] | None
    failure: str = ""
    file: str = ""

    def cells(self) -> dict[str, Any]:
        """Return its cells.

        Raises:
            ItemError: it is not a row.
        """
        if self.values is None:
            raise ItemError(self.failure)
        return self.values


def decoded_row(place: str, number: int, text: bytes | memoryview) -> Row:
    """Read one JSON object as a row; anything else is a failure."""
    try:
        values = msgspec.json.decode(text)
    except UnicodeDecodeError:
        return Row(place, number, None, "not UTF-8; save the file in this encoding")
    except (msgspec.DecodeError, RecursionError) as error:
        return Row(place, number, None, f"not valid JSON ({error})")
    if not isinstance(values, dict):
        return Row(place, number, None, "not a JSON object; a row is written {...}")
    return Row(place, number, values)
