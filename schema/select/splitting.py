"""Records to splits: whole components, records drawn one by one, or records drawn label by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from ..errors import UsageError
from ..wording import counted
from .components import Components
from .sampling import in_drawn_order

SplitBy: TypeAlias = Literal["group", "ratio", "label"]
Shares: TypeAlias = Sequence[tuple[str, Fraction]]


@dataclass(frozen=True)
class Splitting:
    """What became of a division into splits.

    Args:
        splits: the split of every row, in the order of the rows.
        wanted: records that each split was to have, by the ratio.
        got: records that each split has.
        moved: records that are in another split than before.
        largest: records of the largest set that had to stay together; 1 where each record is on its own.
        leaking: sets that lay in more than one split.
    """

    splits: list[str]
    wanted: dict[str, Fraction]
    got: dict[str, int]
    moved: int
    largest: int = 1
    leaking: int = 0

    def lines(self) -> list[str]:
        """Say for people how close to the ratio the splits are."""
        total = max(1, len(self.splits))
        lines = []
        for split, wanted in self.wanted.items():
            got = self.got[split]
            shares = f"{got / total:.2%}; the ratio asks for {float(wanted / total):.2%}"
            lines.append(f"{split}: {got:,} of {counted(len(self.splits), 'record')}, {shares}")
        worst = max((abs(self.got[split] - wanted) for split, wanted in self.wanted.items()), default=Fraction(0))
        held = f"; the largest set that stays together has {self.largest} records" if self.largest > 1 else ""
        lines.append(f"at most {float(worst):.1f} records off the ratio{held}")
        return lines


def resplit(
    by: SplitBy,
    rows: Sequence[int],
    ids: Sequence[str],
    now: Sequence[str],
    labels: Sequence[str | None],
    shares: Shares | None,
    seed: int,
    together: Components | None = None,
) -> Splitting:
    """Divide rows into splits.

    Args:
        by: `group` keeps what belongs together in one split; `ratio` draws records; `label` draws each label's.
        rows: numbers of records, in their order.
        ids: of every record, by its number.
        now: the split that every record is of now.
        labels: of every record.
        shares: of each split, summing to 1; None for those that the rows have now.
        seed: of the draw.
        together: what belongs together, where that counts.

    Raises:
        UsageError: there is one split, and no ratio says which others to make.
    """
    # In the order in which the splits are met.
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[now[row]] = sizes.get(now[row], 0) + 1
    if shares is None and len(sizes) == 1:
        only = next(iter(sizes))
        raise UsageError(f"--split-by {by}: there is one split, {only}; name others with --ratio train=0.9,val=0.1")
    ratio = shares if shares is not None else [(split, Fraction(size, len(rows))) for split, size in sizes.items()]
    wanted = {split: share * len(rows) for split, share in ratio}
    largest, leaking = 1, 0
    if by == "group" and together is not None:
        sets = together.sets(rows)
        largest = max(map(len, sets), default=1)
        leaking = sum(len({now[row] for row in each}) > 1 for each in sets)
        places = _whole(sets, wanted, [] if shares is not None else now, ids, seed)
    else:
        strata: dict[str | None, list[int]] = {}
        for row in rows:
            strata.setdefault(labels[row] if by == "label" else None, []).append(row)
        places = _drawn(list(strata.values()), ratio, ids, seed)
    splits = [places[row] for row in rows]
    got = {split: splits.count(split) for split in wanted}
    moved = sum(places[row] != now[row] for row in rows)
    return Splitting(splits, wanted, got, moved, largest, leaking)


def _whole(
    sets: list[list[int]], wanted: dict[str, Fraction], now: Sequence[str], ids: Sequence[str], seed: int
) -> dict[int, str]:
    """Give whole sets to splits: those that lie in one split stay, where `now` is given; the others fill what lacks.

    The largest come first, each to the split that lacks most: so a split ends at most one set above its ratio.
    """
    places: dict[int, str] = {}
    lacking = dict(wanted)
    free: list[list[int]] = []
    for each in sets:
        splits = {now[row] for row in each} if now else set()
        if len(splits) == 1:
            _place(each, splits.pop(), places, lacking)
        else:
            free.append(each)
    by_first = {each[0]: each for each in free}
    order = [by_first[row] for row in in_drawn_order(list(by_first), ids, seed)]
    for each in sorted(order, key=len, reverse=True):
        _place(each, max(lacking, key=lambda split: lacking[split]), places, lacking)
    return places


def _place(rows: list[int], split: str, places: dict[int, str], lacking: dict[str, Fraction]) -> None:
    places.update(dict.fromkeys(rows, split))
    lacking[split] -= len(rows)


def _drawn(strata: list[list[int]], ratio: Shares, ids: Sequence[str], seed: int) -> dict[int, str]:
    """Divide each stratum by the ratio.

    What a stratum's records leave over when they are divided goes to the splits that lack most over all strata so far:
    many small strata do not all round the same way.
    """
    places: dict[int, str] = {}
    owed = [Fraction(0)] * len(ratio)
    for rows in strata:
        owed = [debt + share * len(rows) for debt, (_, share) in zip(owed, ratio, strict=True)]
        counts = _counts(rows, ratio, owed)
        order = in_drawn_order(rows, ids, seed)
        for (split, _), count in zip(ratio, counts, strict=True):
            places.update(dict.fromkeys(order[:count], split))
            order = order[count:]
        owed = [debt - count for debt, count in zip(owed, counts, strict=True)]
    return places


def _counts(rows: list[int], ratio: Shares, owed: Sequence[Fraction]) -> list[int]:
    """Return each split's part of a stratum: its share rounded down, and what is left to those that are owed most."""
    counts = [int(share * len(rows)) for _, share in ratio]
    order = sorted(range(len(ratio)), key=lambda place: (counts[place] - owed[place], place))
    for place in order[: len(rows) - sum(counts)]:
        counts[place] += 1
    return counts
