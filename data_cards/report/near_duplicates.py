"""Records of different splits whose first images look the same, by the image facts that `validate` keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...schema.index.colours import Colours, colours_in
from ...schema.index.facts_table import FactsTable
from ...schema.index.near_images import near_images
from ...storage import Folder

_ROWS = np.dtype(
    [("number", np.int64), ("fact", np.int64), ("split", np.int64), ("hash", np.uint64), ("content", np.uint64)]
)

Rows = npt.NDArray[np.void]


class Pair(NamedTuple):
    """Two records, by number in the whole dataset, and the mean difference of their thumbnails' grey values, of 255."""

    first: int
    second: int
    difference: float


def near_duplicates(folder: Folder, facts: FactsTable, keys: Sequence[int], splits: Sequence[int]) -> list[Pair]:
    """Find records whose first image is the same as one of another split, or near-identical to it; the same ones first.

    Equal images of one split count as one. What counts as near-identical is what rule S605 finds, see `looks`.

    Args:
        folder: the dataset folder.
        facts: of the dataset's images, decoded.
        keys: of each record's first image, see `facts_table.image_key`; 0 where it shows none.
        splits: a number for the split of each record.
    """
    rows = _rows(facts, np.array(keys, np.uint64), np.array(splits, np.int64))
    if len(rows) < 2:
        return []
    found = [Pair(one, other, 0.0) for one, other in _identical(rows)]
    known = {(pair.first, pair.second) for pair in found}

    def thumbnail(place: int) -> npt.NDArray[np.uint8]:
        return facts.thumbnail(int(rows["fact"][place]))

    def colours(place: int) -> Colours | None:
        return colours_in(folder, facts.at(int(rows["fact"][place])))

    numbers = rows["number"].tolist()
    for one, other in near_images(rows["hash"], rows["content"], rows["split"], thumbnail, colours):
        first, second = sorted((numbers[one], numbers[other]))
        if (first, second) not in known:
            known.add((first, second))
            apart = np.abs(thumbnail(one).astype(np.int16) - thumbnail(other))
            found.append(Pair(first, second, float(apart.mean())))
    return sorted(found, key=lambda pair: (pair.difference, pair.first, pair.second))


def _rows(facts: FactsTable, keys: npt.NDArray[np.uint64], splits: npt.NDArray[np.int64]) -> Rows:
    """Return a row for each decoded image of each split: equal ones once, for the first record that shows one."""
    if not len(facts) or not len(keys):
        return np.empty(0, _ROWS)
    places = np.minimum(np.searchsorted(facts.keys, keys), len(facts) - 1)
    hashes, seen = facts.hashes()
    known = np.flatnonzero((facts.keys[places] == keys) & seen[places])
    rows = np.zeros(len(known), _ROWS)
    rows["number"], rows["fact"], rows["split"] = known, places[known], splits[known]
    rows["hash"], rows["content"] = hashes[rows["fact"]], facts.contents()[rows["fact"]]
    _, first = np.unique(rows[["split", "content"]], return_index=True)
    return rows[np.sort(first)]


def _identical(rows: Rows) -> Iterator[tuple[int, int]]:
    """Yield the records of one content: the first of all splits, with the first of each other split."""
    order = np.argsort(rows["content"], kind="stable")
    contents, numbers = rows["content"][order], rows["number"][order].tolist()
    starts = np.flatnonzero(np.concatenate([[True], contents[1:] != contents[:-1]])).tolist()
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        for other in range(start + 1, end):
            yield numbers[start], numbers[other]
