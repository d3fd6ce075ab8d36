"""Finds every pair of 64-bit hashes that differ in a few bits, without comparing all pairs.

The bits are cut into four bands of sixteen. If two hashes differ in at most 14 bits, then they differ in at most 3 bits
of one of the first three bands or in at most 2 of the last (otherwise they would differ in 4 + 4 + 4 + 3 = 15). So for
each band the hashes are sorted by it, and each is compared with those whose band is one of the 697 (or 137) that are
near its own: no pair is missed, and of random hashes one in thirty is looked at. Where there are so many hashes that
most bands are those of several, whole layers of them are compared at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..cores import core_count
from .looks import NEAR_BITS

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_BANDS = 4
_WIDTH = 64 // _BANDS
# So few are compared with all others at once.
_FEW = 256
# Candidates at a time: what is compared stays in the processor's cache.
_BLOCK = 1 << 16
_ALL_KEYS = np.arange(1 << _WIDTH)


class Pairs(NamedTuple):
    """Near hashes: places in the first array, and in the second."""

    one: Places
    other: Places


def near_hashes(one: Hashes, other: Hashes, bits: int = NEAR_BITS) -> Pairs:
    """Return all pairs of hashes, one of each array, that differ in at most so many bits, each pair once, in order.

    Args:
        one: hashes, each once.
        other: hashes, each once.
        bits: at most `NEAR_BITS`.
    """
    if len(one) <= _FEW:
        return _compared_with_all(one, other, bits)
    # One number for a pair; a pair is found in each band in which it is near.
    places = np.empty(0, np.int64)
    # numpy lets go of the interpreter while it counts bits, so threads do.
    with ThreadPoolExecutor(core_count()) as pool:
        for band in range(_BANDS):
            search = _Band(one, other, band, bits)
            found = [
                pairs.one * len(other) + pairs.other
                for several in pool.map(search.near, _masks(_allowed(band, bits)))
                for pairs in several
            ]
            places = np.unique(np.concatenate([places, *found]))
    return Pairs(*np.divmod(places, max(1, len(other))))


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
    """One band of two arrays of hashes: those whose bands are equal lie in one bucket."""

    def __init__(self, one: Hashes, other: Hashes, band: int, bits: int) -> None:
        self._bits = bits
        self._one, self._other = _Buckets(one, band, pad=0), _Buckets(other, band, pad=-1)

    def near(self, mask: int) -> list[Pairs]:
        """Return the near pairs whose bands differ in exactly these bits."""
        return [*self._among_layers(mask), *self._among_the_rest(mask)]

    def _among_layers(self, mask: int) -> Iterator[Pairs]:
        """Compare all buckets at once, layer with layer: no place is looked up but for what is found."""
        one, other = self._one, self._other
        keys = _ALL_KEYS ^ mask
        differing, counts = np.empty(len(keys), np.uint64), np.empty(len(keys), np.uint8)
        for step, layer in enumerate(other.layers if len(one.layers) else ()):
            candidates = layer[keys]
            for place, hashes in enumerate(one.layers):
                np.bitwise_xor(hashes, candidates, out=differing)
                np.bitwise_count(differing, out=counts)
                if counts.min() > self._bits:
                    continue
                near = np.flatnonzero(counts <= self._bits)
                # Where a bucket has fewer hashes, something else stands in the layer.
                near = near[(one.counts[near] > place) & (other.counts[keys[near]] > step)]
                yield Pairs(one.order[one.starts[near] + place], other.order[other.starts[keys[near]] + step])

    def _among_the_rest(self, mask: int) -> Iterator[Pairs]:
        """Compare what lies deeper in its bucket than there are layers, hash by hash."""
        one, other = self._one, self._other
        deep = other.counts[_ALL_KEYS ^ mask] > (len(other.layers) if len(one.layers) else 0)
        rest = np.flatnonzero((deep | (one.counts > len(one.layers)))[one.keys])
        for first in range(0, len(rest), _BLOCK):
            rows = rest[first : first + _BLOCK]
            keys = one.keys[rows] ^ mask
            in_layers = rows - one.starts[one.keys[rows]] < len(one.layers)
            passed = np.where(in_layers, len(other.layers), 0)
            starts, counts = other.starts[keys] + passed, other.counts[keys] - passed
            step = 0
            left = np.flatnonzero(counts > 0)
            while len(left):
                candidates = starts[left] + step
                near = np.bitwise_count(one.hashes[rows[left]] ^ other.hashes[candidates]) <= self._bits
                if near.any():
                    yield Pairs(one.order[rows[left[near]]], other.order[candidates[near]])
                step += 1
                left = left[counts[left] > step]


class _Buckets:
    """Hashes sorted by one of their bands, and the first few of each bucket as layers: arrays over all buckets.

    Args:
        hashes: each once.
        band: its number.
        pad: stands in a layer where a bucket has fewer hashes; -1 for all bits.
    """

    def __init__(self, hashes: Hashes, band: int, pad: int) -> None:
        keys = ((hashes >> np.uint64(_WIDTH * band)) & np.uint64((1 << _WIDTH) - 1)).astype(np.int64)
        self.order = np.argsort(keys, kind="stable")
        self.hashes, self.keys = hashes[self.order], keys[self.order]
        ends = np.searchsorted(self.keys, np.arange((1 << _WIDTH) + 1)).astype(np.int64)
        self.starts, self.counts = ends[:-1], np.diff(ends)
        self.layers = np.full((_depth(len(hashes)), 1 << _WIDTH), np.int64(pad).astype(np.uint64))
        for place, layer in enumerate(self.layers):
            deeper = self.counts > place
            layer[deeper] = self.hashes[self.starts[deeper] + place]


def _depth(hashes: int) -> int:
    """Return how many layers pay: as many as most buckets have hashes; none where most have none."""
    mean = hashes / (1 << _WIDTH)
    return int(mean + mean**0.5) if mean >= 1 else 0


def _compared_with_all(one: Hashes, other: Hashes, bits: int) -> Pairs:
    found = [np.flatnonzero(np.bitwise_count(other ^ each) <= bits) for each in one]
    counts = [len(each) for each in found]
    return Pairs(np.repeat(np.arange(len(one)), counts), np.concatenate([np.empty(0, np.int64), *found]))
