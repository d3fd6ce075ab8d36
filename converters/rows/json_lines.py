"""JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from .row import LONGEST_ROW, Row, decoded_row, other_encoding

__all__ = ["read_json_lines"]


def read_json_lines(stream: IO[bytes], name: str) -> Iterator[Row]:
    """Yield a row a line of an open file; empty lines and a byte order mark are passed over."""
    number = line = 0
    while raw := stream.readline(LONGEST_ROW):
        line += 1
        place = f"{name}:{line}"
        if line == 1 and (encoding := other_encoding(raw)):
            yield Row(place, 0, None, encoding)
            return
        if len(raw) == LONGEST_ROW and not raw.endswith(b"\n"):
            yield Row(place, number, None, f"longer than {LONGEST_ROW >> 20} MiB; no row is")
            number += 1
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(1 << 20)
            continue
        text = (raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw).strip()
        if text:
            yield decoded_row(place, number, text)
            number += 1
