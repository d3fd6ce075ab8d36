"""The order in which records are trained on: a pure function, so that a loader's whole state is one integer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["MicroBatches", "Plan"]


@dataclass(frozen=True)
class Plan:
    """An endless sequence over epochs: each is a permutation of all records that follows from the seed alone.

    Optimizer step `s` is samples `[s * batch_size, (s + 1) * batch_size)` of it, however many ranks there are. No
    record is dropped or seen twice within an epoch, for a step may reach across its end.

    Args:
        records: number of records in an epoch.
        batch_size: records in an optimizer step.
        seed: of the permutations.
    """

    records: int
    batch_size: int
    seed: int

    def steps(self, epochs: float) -> int:
        """Return the number of optimizer steps that show at least `epochs` times all records."""
        return math.ceil(self.records * epochs / self.batch_size)

    def step(self, number: int) -> list[int]:
        """Return the records of one optimizer step, counted from 0."""
        first = number * self.batch_size
        positions = range(first, first + self.batch_size)
        return [int(self._order(position // self.records)[position % self.records]) for position in positions]

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        return _permutation(self.records, self.seed, epoch)


# A step sees at most a few epochs; the one under way is asked for again and again.
@lru_cache(maxsize=4)
def _permutation(records: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(records)


@dataclass(frozen=True)
class MicroBatches:
    """A plan cut into forward passes: what a DataLoader takes as its batch sampler.

    Args:
        plan: the whole.
        steps: optimizer steps to go.
        size: records in one forward pass; divides the plan's batch size.
    """

    plan: Plan
    steps: int
    size: int

    def __len__(self) -> int:
        return self.steps * (self.plan.batch_size // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self.steps):
            records = self.plan.step(number)
            for first in range(0, self.plan.batch_size, self.size):
                yield records[first : first + self.size]
