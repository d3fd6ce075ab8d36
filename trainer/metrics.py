"""How an answer is judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

__all__ = ["consistency", "normalized", "right"]


def normalized(answer: str) -> str:
    """Strip white space and full stops from both ends and lower the case: the recipe's comparison."""
    return answer.strip().strip(".").strip().lower()


def right(given: str, accepted: Iterable[str]) -> bool:
    """Tell whether an answer equals one of those accepted, both normalized."""
    return normalized(given) in {normalized(answer) for answer in accepted}


def consistency(judged: Iterable[tuple[str, bool]]) -> float | None:
    """Return the share of pairs of which every sentence was judged rightly; None without pairs.

    Args:
        judged: for each answer, the pair it belongs to, and whether it is right.
    """
    pairs: dict[str, list[bool]] = defaultdict(list)
    for pair, correct in judged:
        pairs[pair].append(correct)
    return sum(map(all, pairs.values())) / len(pairs) if pairs else None
