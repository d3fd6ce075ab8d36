"""A sample by seed: each record's place in the draw follows from the seed and its id alone.

So a larger sample of the same seed holds the smaller one, and records that are added move none of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import xxhash

from ..errors import UsageError
from ..wording import counted


@dataclass(frozen=True)
class SampleSize:
    """How much is drawn: so many records, or a share of them.

    Args:
        records: their number; None where a share is given.
        share: of all, above 0 and at most 1.
    """

    records: int | None = None
    share: Fraction = Fraction(1)

    def of(self, total: int) -> int:
        """Return how many of so many records are drawn; a share is rounded to the nearest number, halves up.

        Raises:
            UsageError: more are asked for than there are.
        """
        if self.records is None:
            return int(self.share * total + Fraction(1, 2))
        if self.records > total:
            raise UsageError(
                f"--sample {self.records}: more than the {counted(total, 'record')} to draw from; ask for fewer"
            )
        return self.records


def parse_sample_size(text: str) -> SampleSize:
    """Read the value of `--sample`: a number such as 1000, or a percentage such as 2.5%.

    Raises:
        UsageError: it is neither.
    """
    try:
        if text.endswith("%"):
            share = Fraction(text[:-1].strip()) / 100
            if 0 < share <= 1:
                return SampleSize(None, share)
        elif text.isascii() and text.isdigit() and int(text) > 0:
            return SampleSize(int(text))
    except (ValueError, ZeroDivisionError):
        pass
    raise UsageError(f"--sample {text}: expected a number of records such as 1000, or a percentage such as 10%")


def in_drawn_order(rows: Sequence[int], ids: Sequence[str], seed: int) -> list[int]:
    """Return rows in the order in which the seed draws them.

    Args:
        rows: numbers of records.
        ids: the id of every record, by its number.
        seed: another seed, another order.
    """
    start = seed % (1 << 64)
    return sorted(rows, key=lambda row: (xxhash.xxh3_64_intdigest(ids[row].encode(), start), row))


def drawn(
    rows: Sequence[int], ids: Sequence[str], size: SampleSize, seed: int, strata: Sequence[object] | None = None
) -> set[int]:
    """Return the rows that are drawn.

    Args:
        rows: those that are drawn from.
        ids: the id of every record, by its number.
        size: how many.
        seed: of the draw.
        strata: of every record, by its number: each stratum has its share of the sample.

    Raises:
        UsageError: more are asked for than there are.
    """
    wanted = size.of(len(rows))
    if strata is None:
        return set(in_drawn_order(rows, ids, seed)[:wanted])
    of_stratum: dict[object, list[int]] = {}
    for row in rows:
        of_stratum.setdefault(strata[row], []).append(row)
    counts = apportioned([Fraction(len(each)) for each in of_stratum.values()], wanted)
    chosen: set[int] = set()
    for each, count in zip(of_stratum.values(), counts, strict=True):
        chosen.update(in_drawn_order(each, ids, seed)[:count])
    return chosen


def apportioned(shares: Sequence[Fraction], total: int) -> list[int]:
    """Return whole numbers that sum to a total, in proportion to shares, by largest remainders (Hamilton's method).

    Each is its exact share, rounded up or down; of equal remainders, the first is rounded up.
    """
    whole = sum(shares)
    if not whole:
        return [0] * len(shares)
    exact = [share * total / whole for share in shares]
    counts = [int(each) for each in exact]
    order = sorted(range(len(shares)), key=lambda place: (counts[place] - exact[place], place))
    for place in order[: total - sum(counts)]:
        counts[place] += 1
    return counts
