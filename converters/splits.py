"""Names of splits, and splits by hash: which one a sample belongs to follows from its group's key alone.

No count and no order comes into it, so that adding samples moves none of those that were there, and what shares a key
is never parted.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, TypeAlias

from msgspec import Meta

from ..schema.errors import UsageError

__all__ = ["Ratios", "SplitRatio", "is_split_name", "parse_ratios"]

SplitRatio: TypeAlias = Annotated[
    str, Meta(description="share of each split, decided by hash of the group, such as train=0.9,val=0.1")
]

_NAME = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]*")
_EXPECTED = "expected names and shares that sum to 1, such as train=0.9,val=0.1"


def is_split_name(name: object) -> bool:
    """Tell whether a split can be called this: its files are named for it."""
    return isinstance(name, str) and name.isprintable() and _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Ratios:
    """Splits and the share of the groups that each gets, in the order they were given.

    Args:
        shares: a split's name and its share, above 0; all shares sum to 1.
    """

    shares: tuple[tuple[str, Fraction], ...]

    def split_of(self, key: str) -> str:
        """Return the split of whatever has this key.

        The first 64 bits of the key's SHA-256, as a fraction of 1, fall into the part of one split. A key counts in
        its composed Unicode form, as file systems differ in that.
        """
        spelt = unicodedata.normalize("NFC", key).encode("utf-8", "surrogateescape")
        drawn = Fraction(int.from_bytes(hashlib.sha256(spelt).digest()[:8], "big"), 1 << 64)
        end = Fraction(0)
        for name, share in self.shares:
            end += share
            if drawn < end:
                return name
        raise UsageError(f"the shares {dict(self.shares)} sum to {end}; {_EXPECTED}")


def parse_ratios(text: str) -> Ratios:
    """Read the value of an option `SplitRatio`.

    Args:
        text: `name=share` with commas between; a share is a decimal such as 0.9 or a fraction such as 1/3.

    Raises:
        UsageError: it is not that, a split stands twice, or the shares do not sum to 1.
    """
    shares: dict[str, Fraction] = {}
    for part in text.split(","):
        name, share = _split_and_share(part, text)
        if name in shares:
            raise UsageError(f"the split ratio {text!r} names {name!r} twice; {_EXPECTED}")
        shares[name] = share
    total = sum(shares.values())
    if total != 1:
        raise UsageError(f"the shares of {text!r} sum to {float(total):g}; {_EXPECTED}")
    return Ratios(tuple(shares.items()))


def _split_and_share(part: str, text: str) -> tuple[str, Fraction]:
    name, _, number = part.partition("=")
    try:
        share = Fraction(number.strip())
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not name.strip() or share <= 0:
        raise UsageError(f"the split ratio {text!r} has the part {part.strip()!r}; {_EXPECTED}")
    return name.strip(), share
