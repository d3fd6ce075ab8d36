"""Which dataset each position of an endless sequence shows, when several are mixed by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...schema.errors import UsageError
from .permutation import permutations

_PURPOSE = 1  # keeps these permutations apart from those of records and shards
_LONGEST_CYCLE = 1 << 22
# Short cycles are drawn many at a time: a step of 512 would else ask for hundreds of permutations of three.
_POSITIONS_AT_ONCE = 4096
_ROUNDS_KEPT = 3


def shares(weights: Sequence[Fraction]) -> list[int]:
    """Bring weights to the smallest whole numbers in the same proportion.

    Args:
        weights: of each dataset, over 0.

    Raises:
        UsageError: a weight that is not over 0, or a proportion that takes a cycle of millions to keep.
    """
    given = ":".join(str(float(weight)) for weight in weights)
    if min(weights) <= 0:
        raise UsageError(f"weights {given}: each must be over 0; leave out the dataset that is not to be shown")
    common = math.lcm(*(weight.denominator for weight in weights))
    reduced = whole_shares([int(weight * common) for weight in weights])
    if sum(reduced) > _LONGEST_CYCLE:
        raise UsageError(f"weights {given}: too fine a proportion; use small whole numbers or short decimals")
    return reduced


def whole_shares(counts: Sequence[int]) -> list[int]:
    """Reduce whole numbers to the smallest in the same proportion."""
    divisor = math.gcd(*counts)
    return [count // divisor for count in counts]


class _Round(NamedTuple):
    """Some cycles, one after the other: [positions] each, datasets, which of a dataset's samples it is in this round,
    and the positions sorted by dataset and then by place."""

    datasets: npt.NDArray[np.int64]
    turns: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


class Mixture:
    """An endless sequence of cycles; in each, every dataset has exactly its share, in an order of the cycle's own.

    So the share holds over any stretch, and how many samples of each dataset came before a position is known without
    going there.

    Args:
        shares: how many positions of a cycle each dataset has.
        seed: of the orders.
    """

    def __init__(self, shares: Sequence[int], seed: int) -> None:
        self._seed = seed
        self._cycle = np.repeat(np.arange(len(shares)), shares)
        self._cycles = max(1, _POSITIONS_AT_ONCE // len(self._cycle))
        self._length = self._cycles * len(self._cycle)
        self._shares = np.array(shares, dtype=np.int64) * self._cycles
        self._starts = np.cumsum(self._shares) - self._shares
        self._rounds: dict[int, _Round] = {}

    def draw(self, first: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return, for positions `[first, first + count)`, the dataset, and which of its samples (from 0) it is."""
        datasets, turns = [], []
        while count:
            number, offset = divmod(first, self._length)
            of_round = self._round(number)
            part = slice(offset, offset + count)
            datasets.append(of_round.datasets[part])
            turns.append(of_round.turns[part] + number * self._shares[datasets[-1]])
            first, count = first + len(datasets[-1]), count - len(datasets[-1])
        return np.concatenate(datasets), np.concatenate(turns)

    def drawn(self, position: int) -> list[int]:
        """Return how many samples of each dataset come before a position."""
        number, offset = divmod(position, self._length)
        in_round = np.bincount(self._round(number).datasets[:offset], minlength=len(self._shares))
        return [int(count) for count in number * self._shares + in_round]

    def position(self, dataset: int, turn: int) -> int:
        """Return the position of a dataset's sample `turn` (from 0)."""
        number, in_round = divmod(turn, int(self._shares[dataset]))
        return number * self._length + int(self._round(number).places[self._starts[dataset] + in_round])

    def _round(self, number: int) -> _Round:
        if number not in self._rounds:
            while len(self._rounds) >= _ROUNDS_KEPT:
                del self._rounds[next(iter(self._rounds))]
            self._rounds[number] = self._make_round(number)
        return self._rounds[number]

    def _make_round(self, number: int) -> _Round:
        orders = permutations((self._seed, _PURPOSE, 0, number, 0), self._cycles, len(self._cycle))
        datasets = self._cycle[orders].ravel()
        places = np.argsort(datasets, kind="stable")
        turns = np.empty_like(places)
        turns[places] = np.arange(self._length) - self._starts[datasets[places]]
        return _Round(datasets, turns, places)
