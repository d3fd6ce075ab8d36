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


def consistency(judged: Iterable[tuple[str, bool | None]]) -> float | None:
    """Return the share of groups of which every answer is right; None without groups.

    Args:
        judged: for each answer, the group it belongs to, and whether it is right. Answers of no group ("") and answers
            that could not be judged (None) do not count.
    """
    groups: dict[str, list[bool]] = defaultdict(list)
    for group, correct in judged:
        if group and correct is not None:
            groups[group].append(correct)
    return sum(map(all, groups.values())) / len(groups) if groups else None
