"""How sure a metric is: intervals by bootstrap, and two evaluations of the same questions compared.

Answers about one document or one clip are not independent, so whole groups are drawn, not single answers (the cluster
bootstrap; Cameron, Gelbach, Miller 2008). The draws follow from a fixed seed: the same answers give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_LEVEL = 0.95
_SEED = 0
_WEIGHTS_AT_ONCE = 1 << 22  # 32 MiB of them

Array = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Where a metric lies with 95 % confidence."""

    low: float
    high: float


def mean_interval(values: Sequence[float], groups: Sequence[Hashable], resamples: int) -> Interval | None:
    """Return the interval of a mean.

    Args:
        values: one a scored answer.
        groups: for each, what it is drawn together with.
        resamples: how often; None comes back for 0, and where there are fewer than two groups.
    """
    array = np.asarray(values, float)
    return resampled_interval(groups, resamples, lambda weights: (weights @ array) / weights.sum(1))


def resampled_interval(
    groups: Sequence[Hashable], resamples: int, statistic: Callable[[Array], Array]
) -> Interval | None:
    """Return the interval of any statistic.

    Args:
        groups: for each answer, what it is drawn together with.
        resamples: how often the groups are drawn; None comes back for 0, and where there are fewer than two.
        statistic: of weights [resamples, answers], how often each answer was drawn; returns [resamples], NaN where it
            has no meaning.
    """
    numbers: dict[Hashable, int] = {}
    member = np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
    if resamples < 1 or len(numbers) < 2:
        return None
    generator = np.random.default_rng(_SEED)
    at_once = max(1, _WEIGHTS_AT_ONCE // max(len(member), len(numbers)))
    even = np.full(len(numbers), 1 / len(numbers))
    found = [
        statistic(generator.multinomial(len(numbers), even, min(at_once, resamples - done))[:, member].astype(float))
        for done in range(0, resamples, at_once)
    ]
    values = np.concatenate(found)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def mcnemar(fixed: int, broken: int) -> float:
    """Return the exact two-sided p value of McNemar's test.

    Args:
        fixed: answers that were wrong and are correct.
        broken: answers that were correct and are wrong.
    """
    changed = fixed + broken
    tail = sum(math.comb(changed, count) for count in range(min(fixed, broken) + 1))
    return min(1.0, float(2 * tail / 2**changed))
