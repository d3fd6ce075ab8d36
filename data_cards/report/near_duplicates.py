"""Records of different splits whose first images look the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .thumbnails import GREY_SIDE

__all__ = ["Pair", "near_duplicates"]

_BANDS = 8  # pieces of the hash; two images are compared where one piece is equal
_MOST_BITS = 6  # of 64 that may differ
_MOST_APART = 4.0  # mean difference of colours, of 255
_LARGEST_BUCKET = 400
_NEIGHBOURS = 8  # compared in a larger bucket


class Pair(NamedTuple):
    """Two records, by number in the whole dataset, and the mean difference of their colours, of 255."""

    first: int
    second: int
    difference: float


def near_duplicates(signatures: Sequence[bytes | None], splits: Sequence[int]) -> list[Pair]:
    """Find records whose first image looks the same as one of an earlier split, the closest first.

    Each image is paired once, with the closest that was found; equal images of one split count as one.

    Candidates share a piece of a 64-bit difference hash. They are a pair where at most `_MOST_BITS` differ, and so
    little colour that it is hard to see. Where very many images share a piece (plain backgrounds), each is compared
    with its neighbours in the order of hash and brightness only.

    Args:
        signatures: of each record's thumbnail, see `thumbnails.signature`; None without one.
        splits: a number for the split of each record.
    """
    numbers = np.array([number for number, each in enumerate(signatures) if each is not None], dtype=np.int64)
    if len(numbers) < 2:
        return []
    joined: npt.NDArray[np.uint8] = np.frombuffer(b"".join(each for each in signatures if each), np.uint8)
    rows = joined.reshape(len(numbers), -1)
    of_split = np.array(splits, dtype=np.int64)[numbers]
    kept = _first_of_each(rows, of_split)
    numbers, rows, of_split = numbers[kept], rows[kept], of_split[kept]
    search = _Search(rows, of_split)
    for band in range(_BANDS):
        search.compare_within(band)
    found = np.flatnonzero(search.closest >= 0)
    pairs = [Pair(int(numbers[search.closest[n]]), int(numbers[n]), float(search.difference[n])) for n in found]
    return sorted(pairs, key=lambda pair: (pair.difference, pair.first, pair.second))


def _first_of_each(rows: npt.NDArray[np.uint8], of_split: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first of equal signatures in each split, ascending."""
    keys = np.ascontiguousarray(np.concatenate([of_split[:, None].view(np.uint8).reshape(len(rows), -1), rows], axis=1))
    _, first = np.unique(keys.view(np.dtype((np.void, keys.shape[1])))[:, 0], return_index=True)
    return np.sort(first)


class _Search:
    """Keeps, for each image, the closest of an earlier split.

    Args:
        rows: signatures.
        of_split: the split of each.
    """

    def __init__(self, rows: npt.NDArray[np.uint8], of_split: npt.NDArray[np.int64]) -> None:
        self._colours = rows[:, GREY_SIDE**2 :]
        self._of_split = of_split
        self._hashes = _hashes(rows[:, : GREY_SIDE**2].reshape(-1, GREY_SIDE, GREY_SIDE))
        self._brightness = self._colours.mean(axis=1)
        self.difference = np.full(len(rows), np.inf)
        self.closest = np.full(len(rows), -1, dtype=np.int64)

    def compare_within(self, band: int) -> None:
        """Compare images whose hashes share one piece."""
        pieces = self._hashes
        order = np.lexsort((self._brightness, *(pieces[:, other] for other in range(_BANDS)), pieces[:, band]))
        keys = pieces[order, band]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            members = order[first:end]
            if len(members) > 1 and len(np.unique(self._of_split[members])) > 1:
                self._compare(members)

    def _compare(self, members: npt.NDArray[np.int64]) -> None:
        reach = len(members) if len(members) <= _LARGEST_BUCKET else _NEIGHBOURS
        for step in range(1, reach):
            one, other = members[:-step], members[step:]
            apart = self._of_split[one] != self._of_split[other]
            one, other = one[apart], other[apart]
            bits = np.unpackbits(self._hashes[one] ^ self._hashes[other], axis=1).sum(axis=1)
            one, other = one[bits <= _MOST_BITS], other[bits <= _MOST_BITS]
            if not len(one):
                continue
            colours = self._colours[one].astype(np.int16) - self._colours[other].astype(np.int16)
            difference = np.abs(colours).mean(axis=1)
            self._keep(one, other, difference)

    def _keep(
        self, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], difference: npt.NDArray[np.float64]
    ) -> None:
        turned = self._of_split[one] > self._of_split[other]
        later, earlier = np.where(turned, one, other), np.where(turned, other, one)
        closer = (difference <= _MOST_APART) & (difference < self.difference[later])
        # Of several at one step that are closer to an image, the closest comes last and stays.
        order = np.argsort(-difference[closer], kind="stable")
        later, earlier, difference = (each[closer][order] for each in (later, earlier, difference))
        self.difference[later], self.closest[later] = difference, earlier


def _hashes(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a 64-bit difference hash of each image, as 8 bytes; [images, 8]."""
    small = grey.reshape(-1, 8, 2, 16).mean(axis=2)  # [images, 8 rows, 16 columns]
    columns = np.linspace(0, 15, 9).round().astype(np.int64)
    sampled = small[:, :, columns]
    return np.packbits(sampled[:, :, 1:] > sampled[:, :, :-1], axis=2)[:, :, 0]
