"""Drawing one of several by seed and name: the same on every machine, in any order, and whatever else is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["draw"]

T = TypeVar("T")


def draw(choices: Sequence[T], seed: int, *names: str) -> T:
    """Draw one of several evenly: a pure function of the seed and the names.

    Args:
        choices: what is drawn from, at least one.
        seed: another seed draws anew.
        names: what is drawn, and for whom, such as `"prompt", record_id`.
    """
    text = "\0".join((str(seed), *names))
    # The first 64 bits of a hash, by the number of choices: the bias is below one in 2**50 for any list there is.
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return choices[number % len(choices)]
