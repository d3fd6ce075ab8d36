"""Columns of numbers on disk, as long as they like, and the rows in which a value repeats, found in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

# Keys that are sorted at a time: 64 MB of keys and rows.
_AT_ONCE = 1 << 22
_READ = 1 << 20


class ColumnFiles:
    """A table whose columns are files of their own.

    Args:
        folder: for the files; it must be there, and is the caller's to remove.
        dtype: of a row, with named fields.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._paths = {field: folder / f"{name}.{field}" for field in dtype.names or ()}
        self._files = {field: path.open("wb") for field, path in self._paths.items()}
        self.rows = 0

    def append(self, rows: npt.NDArray[np.void]) -> None:
        """Add rows."""
        for field, file in self._files.items():
            file.write(np.ascontiguousarray(rows[field]).tobytes())
        self.rows += len(rows)

    def column(self, field: str) -> npt.NDArray[Any]:
        """Map a column into memory, [rows]."""
        self._files[field].flush()
        kind = self._dtype[field]
        if not self.rows:
            return np.empty(0, kind)
        return np.memmap(self._paths[field], kind, mode="r", shape=(self.rows,))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class Repeats(NamedTuple):
    """Rows whose keys stand in more than one row.

    Args:
        rows: ascending within each group.
        starts: where each group begins in `rows`.
    """

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def firsts(self) -> npt.NDArray[np.int64]:
        """Return for each of `rows` the first row of its group."""
        sizes = np.diff(np.append(self.starts, len(self.rows)))
        return np.repeat(self.rows[self.starts], sizes)

    def groups(self) -> npt.NDArray[np.int64]:
        """Return for each of `rows` the number of its group."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(self.rows))))


def repeats_in(keys: npt.NDArray[Any], at_once: int = _AT_ONCE) -> Iterator[Repeats]:
    """Yield the rows in which a key stands that stands in others, too; the key 0 is nobody's.

    Args:
        keys: hashes, [rows]; may be mapped from a file that is larger than memory.
        at_once: keys sorted at a time; where there are more, they are looked at by their upper bits.
    """
    bits = 0
    while len(keys) >> bits > at_once:
        bits += 1
    for part in range(1 << bits):
        rows = _rows_of(keys, part, bits)
        found = np.asarray(keys[rows], np.uint64)
        order = np.argsort(found, kind="stable")
        found, rows = found[order], rows[order]
        same = found[1:] == found[:-1]
        member = np.append(same, False) | np.insert(same, 0, False)
        if not member.any():
            continue
        kept, values = rows[member], found[member]
        yield Repeats(kept, np.flatnonzero(np.insert(values[1:] != values[:-1], 0, True)))


def _rows_of(keys: npt.NDArray[Any], part: int, bits: int) -> npt.NDArray[np.int64]:
    """Return the rows whose keys begin with such bits, and are not 0."""
    found = []
    for start in range(0, len(keys), _READ):
        some = np.asarray(keys[start : start + _READ], np.uint64)
        wanted = some != 0
        if bits:
            wanted &= (some >> np.uint64(64 - bits)) == part
        found.append(start + np.flatnonzero(wanted))
    return np.concatenate(found) if found else np.empty(0, np.int64)
