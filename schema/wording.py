"""Counts, choices and values in messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as `1 item` and `2,000 items`.

    Args:
        number: how many.
        noun: one of them.
        plural: several of them; by default the noun with an s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or f'{noun}s'}"


def shortened(value: object, most: int = 60) -> str:
    """Return a value as Python writes it, cut where it is long.

    Args:
        value: whatever is wrong.
        most: characters shown of it.
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def alternatives(names: Sequence[str]) -> str:
    """Return names as a person lists them: `a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def expected_choice(given: str, choices: Iterable[str]) -> str:
    """Describe what was expected in place of a value that is none of the choices, and name the nearest of them."""
    names = list(choices)
    near = difflib.get_close_matches(given, names, n=1)
    return f"expected {alternatives(names)}{f'; did you mean {near[0]}?' if near else ''}"
