"""Splits by ratio: which one a sample belongs to follows from the hash of its group's key.

No count and no order comes into it, so that adding samples moves none of those that were there, and what shares a key
is never divided. In small sets the shares are then met by chance alone; `stratified` meets them, class by class.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Annotated, TypeAlias

from ..schema.errors import UsageError

SplitRatio: TypeAlias = Annotated[str, "share of each split, decided by hash of the group, such as train=0.9,val=0.1"]

_NAME = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]*")
_EXPECTED = "expected names and shares that sum to 1, such as train=0.9,val=0.1"


def is_split_name(name: object) -> bool:
    """Tell whether a split can be called this: its files are named for it."""
    return isinstance(name, str) and name.isprintable() and _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Ratios:
    """Splits and the share of the groups that each gets, in the order they were given."""

    shares: tuple[tuple[str, Fraction], ...]  # a split's name and its share, above 0; all shares sum to 1
    seed: int = 0  # another seed gives other splits; 0 hashes the key as it is

    def position_of(self, key: str) -> int:
        """Return where a key is, from 0 to 2**64: the first 64 bits of its SHA-256, evenly spread.

        A key counts in its composed Unicode form, as file systems differ in that.
        """
        composed = unicodedata.normalize("NFC", key)
        text = f"{self.seed}\0{composed}" if self.seed else composed
        return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big")

    def split_of(self, key: str) -> str:
        """Return the split of whatever has this key: its position, as a fraction of the whole, falls into that part."""
        drawn = Fraction(self.position_of(key), 1 << 64)
        ends = accumulate(share for _, share in self.shares)
        return next(name for (name, _), end in zip(self.shares, ends, strict=True) if drawn < end)


def stratified(ratios: Ratios, label_of: Mapping[str, str]) -> dict[str, str]:
    """Give groups to splits so that each class meets the shares as nearly as whole groups can.

    The groups of a class are ordered by their hash and assigned in that order, by largest remainder; a class with as
    many groups as there are splits has one in each.

    Args:
        ratios: the splits and their shares.
        label_of: the class of each group, by the group's key; the answer has its split.
    """
    of_label: dict[str, list[str]] = {}
    for key, label in label_of.items():
        of_label.setdefault(label, []).append(key)
    found: dict[str, str] = {}
    for keys in of_label.values():
        keys.sort(key=lambda key: (ratios.position_of(key), key))
        names = [name for name, count in _counts(ratios, len(keys)).items() for _ in range(count)]
        found.update(zip(keys, names, strict=True))
    return found


def _counts(ratios: Ratios, total: int) -> dict[str, int]:
    """Divide a number by the shares: whole numbers that sum to it, none of them 0 where there are enough."""
    counts = {name: int(share * total) for name, share in ratios.shares}
    by_remainder = sorted(ratios.shares, key=lambda share: share[1] * total - int(share[1] * total), reverse=True)
    for name, _ in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    for name in counts:
        if counts[name] == 0 and total >= len(counts):
            counts[max(counts, key=counts.__getitem__)] -= 1
            counts[name] = 1
    return counts


def parse_ratios(text: str, seed: int = 0) -> Ratios:
    """Read the value of an option `SplitRatio`.

    Args:
        text: `name=share` with commas between; a share is a decimal such as 0.9 or a fraction such as 1/3.
        seed: see `Ratios`.

    Raises:
        UsageError: it is not that, a split is named twice, or the shares do not sum to 1.
    """
    shares: dict[str, Fraction] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            share = Fraction(number)
        except (ValueError, ZeroDivisionError):
            share = Fraction(0)
        if not name or share <= 0:
            raise UsageError(f"the split ratio {text!r} has the part {part.strip()!r}; {_EXPECTED}")
        if name in shares:
            raise UsageError(f"the split ratio {text!r} names {name!r} twice; {_EXPECTED}")
        shares[name] = share
    total = sum(shares.values())
    if total != 1:
        raise UsageError(f"the shares of {text!r} sum to {float(total):g}; {_EXPECTED}")
    return Ratios(tuple(shares.items()), seed)
