"""The mark `<image>` in a text, where an image is shown."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["MARK", "Marked", "put_marks", "take_marks"]

MARK = "<image>"

_JOINED = re.compile(rf"(\s?){MARK}(\r\n|\s)?")
_LEADING = re.compile(rf"(?:\s*{MARK})*")


class Marked(NamedTuple):
    """A text without its marks, how many there were, and whether all stood in front of it."""

    text: str
    marks: int
    in_front: bool


def take_marks(text: str) -> Marked:
    """Take the marks out of a text, each with the space or line end after it; where none follows, the one before."""
    leading = _LEADING.match(text)
    in_front = MARK not in text[leading.end() if leading else 0 :]
    return Marked(_JOINED.sub(lambda found: found[1] if found[2] else "", text), text.count(MARK), in_front)


def put_marks(text: str, number: int) -> str:
    """Put marks in front of a text, each on a line of its own; `take_marks` gives the text back."""
    return f"{MARK}\n" * number + text
