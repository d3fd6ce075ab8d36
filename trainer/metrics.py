"""How an answer is judged."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["normalized", "right"]


def normalized(answer: str) -> str:
    """Strip white space and full stops from both ends and lower the case: the recipe's comparison."""
    return answer.strip().strip(".").strip().lower()


def right(given: str, accepted: Iterable[str]) -> bool:
    """Tell whether an answer equals one of those accepted, both normalized."""
    return normalized(given) in {normalized(answer) for answer in accepted}
