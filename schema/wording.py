"""Counts in messages."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 item` and `2 items`.

    Args:
        number: how many.
        noun: one of them; its plural ends in s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
