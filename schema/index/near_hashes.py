"""Finds every pair of 64-bit hashes that differ in a few bits, without comparing all pairs.

The bits are cut into four bands of sixteen. If two hashes differ in at most 14 bits, then they differ in at most 3 bits
of one of the first three bands or in at most 2 of the last (otherwise they would differ in 4 + 4 + 4 + 3 = 15). So for
each band the hashes are sorted by it, and each is compared with those whose band is one of the 697 (or 137) that are
near its own: no pair is missed, and of random hashes one in thirty is looked at.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .looks import NEAR_BITS
from .workers import core_count

__all__ = ["Pairs", "near_hashes"]

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_BANDS = 4
_WIDTH = 64 // _BANDS
# So few are compared with all others at once.
_FEW = 256
# Candidates at a time: what is compared stays in the processor's cache.
_BLOCK = 1 << 16


class Pairs(NamedTuple):
    """Near hashes: places in the first array, and in the second."""

    one: Places
    other: Places


def near_hashes(one: Hashes, other: Hashes, bits: int = NEAR_BITS) -> Pairs:
    """Return all pairs of hashes, one of each array, that differ in at most so many bits, each pair once.

    Args:
        one: hashes, each once.
        other: hashes, each once.
        bits: at most `NEAR_BITS`.
    """
    if len(one) <= _FEW:
        return _compared_with_all(one, other, bits)
    # numpy lets go of the interpreter while it counts bits, so threads do.
    found: list[Pairs] = []
    with ThreadPoolExecutor(core_count()) as pool:
        for band in range(_BANDS):
            search = _Band(one, other, band, bits)
            for pairs in pool.map(search.near, _masks(_allowed(band, bits))):
                found += pairs
    # A pair is found in each band in which it is near.
    places = np.unique(
        np.concatenate([np.empty((0, 2), np.int64), *(np.stack(each, axis=1) for each in found)]), axis=0
    )
    return Pairs(places[:, 0], places[:, 1])


def _allowed(band: int, bits: int) -> int:
    """Return in how many bits of a band hashes may differ, so that together no near pair is missed."""
    # The allowed bits plus one of each band must come to more than `bits`.
    spare = bits + 1 - _BANDS
    return max(0, spare // _BANDS + (band < spare % _BANDS)) if spare > 0 else 0


def _masks(most: int) -> list[int]:
    """Return every pattern of at most so many bits of a band."""
    places = [1 << bit for bit in range(_WIDTH)]
    return [sum(each) for count in range(most + 1) for each in itertools.combinations(places, count)]


class _Band:
    """One band of two arrays of hashes, sorted by it."""

    def __init__(self, one: Hashes, other: Hashes, band: int, bits: int) -> None:
        self._bits = bits
        self._one, self._one_keys, self._one_order = _sorted_by_band(one, band)
        self._other, keys, self._other_order = _sorted_by_band(other, band)
        self._starts = np.searchsorted(keys, np.arange((1 << _WIDTH) + 1)).astype(np.int64)

    def near(self, mask: int) -> list[Pairs]:
        """Return the near pairs whose bands differ in exactly these bits."""
        found = []
        for first in range(0, len(self._one), _BLOCK):
            hashes = self._one[first : first + _BLOCK]
            keys = self._one_keys[first : first + _BLOCK] ^ mask
            starts = self._starts[keys]
            counts = self._starts[keys + 1] - starts
            rows = np.flatnonzero(counts)
            step = 0
            while len(rows):
                candidates = starts[rows] + step
                near = np.bitwise_count(hashes[rows] ^ self._other[candidates]) <= self._bits
                if near.any():
                    found.append(Pairs(self._one_order[first + rows[near]], self._other_order[candidates[near]]))
                step += 1
                rows = rows[counts[rows] > step]
        return found


def _sorted_by_band(hashes: Hashes, band: int) -> tuple[Hashes, Places, Places]:
    keys = ((hashes >> np.uint64(_WIDTH * band)) & np.uint64((1 << _WIDTH) - 1)).astype(np.int64)
    order = np.argsort(keys, kind="stable")
    return hashes[order], keys[order], order


def _compared_with_all(one: Hashes, other: Hashes, bits: int) -> Pairs:
    found = [np.flatnonzero(np.bitwise_count(other ^ each) <= bits) for each in one]
    counts = [len(each) for each in found]
    return Pairs(np.repeat(np.arange(len(one)), counts), np.concatenate([np.empty(0, np.int64), *found]))
