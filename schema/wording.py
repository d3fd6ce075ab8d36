"""Counts and values in messages."""

from __future__ import annotations

__all__ = ["counted", "shortened"]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 item` and `2 items`.

    Args:
        number: how many.
        noun: one of them; its plural ends in s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shortened(value: object, most: int = 60) -> str:
    """Return a value as Python writes it, cut where it is long.

    Args:
        value: whatever is wrong.
        most: characters shown of it.
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
