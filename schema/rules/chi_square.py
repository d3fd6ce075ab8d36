"""Pearson's chi-square test, and its p value from the incomplete gamma function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class ChiSquare(NamedTuple):
    """What a test says.

    Args:
        statistic: chi-square.
        freedom: degrees of freedom.
        p: how likely a statistic as large is where rows differ by chance alone.
    """

    statistic: float
    freedom: int
    p: float


def chi_square(table: Sequence[Sequence[float]], *, expected: bool = False) -> ChiSquare | None:
    """Test whether two rows of counts are drawn from one distribution; None where there are fewer than two columns.

    Args:
        table: two rows.
        expected: the second row is what is expected of the first, not counted itself.
    """
    one, other = table
    if len(one) < 2:
        return None
    total_one, total_other = sum(one), sum(other)
    if not total_one or not total_other:
        return None
    statistic = 0.0
    for first, second in zip(one, other, strict=True):
        if expected:
            statistic += (first - second) ** 2 / second
            continue
        both = first + second
        for count, total in ((first, total_one), (second, total_other)):
            mean = both * total / (total_one + total_other)
            statistic += (count - mean) ** 2 / mean if mean else 0.0
    freedom = len(one) - 1
    return ChiSquare(statistic, freedom, _upper_gamma(freedom / 2, statistic / 2))


def _upper_gamma(a: float, x: float) -> float:
    """Return the regularised upper incomplete gamma function Q(a, x) (Abramowitz and Stegun 6.5.29 and 6.5.31)."""
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - total * front)
    # Lentz's way through the continued fraction.
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = an * d + b
        d = 1 / (d if abs(d) > tiny else tiny)
        c = b + an / c
        c = c if abs(c) > tiny else tiny
        step = d * c
        h *= step
        if abs(step - 1) < 1e-15:
            break
    return h * front
