"""Files of data that a page loads by a script tag: `file://` allows no other way."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...storage import Folder

BUCKETS = 64
"""Files that the numbers of records are spread over, by id."""


def write_data(folder: Folder, name: str, content: Any) -> None:
    """Write `data/<name>.js`: one call that hands the content to the page as a string of JSON.

    A string, and not an object literal, because `__proto__` in a literal is no plain key; and a string is faster to
    read.

    Args:
        folder: the report.
        name: what the page asks for it by.
        content: anything msgspec writes as JSON.
    """
    text = msgspec.json.encode(content).decode()
    folder.write(f"data/{name}.js", f"report.receive({json.dumps(name)}, {json.dumps(text)});\n".encode())


def packed(values: Iterable[int]) -> str:
    """Return whole numbers as base64 of little-endian 32-bit values: what a page sorts and filters by."""
    column: npt.NDArray[np.uint32] = np.fromiter(values, dtype="<u4")
    return base64.b64encode(column.tobytes()).decode()


def bucket(identity: str) -> int:
    """Return which file of numbers holds an id: 32-bit FNV-1a over its UTF-8, as the page computes it, too."""
    value = 0x811C9DC5
    for byte in identity.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % BUCKETS
