"""Values of the data in Markdown: shown as they are, whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LONGEST = 120
# What Markdown, HTML or a table takes for more than text.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#@])")
_UNSEEN = re.compile(r"[\u0000-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")


def plain(value: object) -> str:
    """Return a value as text on one line that Markdown shows as it is; a long one is shortened."""
    text = " ".join(_UNSEEN.sub(" ", str(value)).split())
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 1]}…"
    return _SPECIAL.sub(r"\\\1", text)


def code(value: object) -> str:
    """Return a value as a code span, fenced by more backticks than it holds."""
    text = " ".join(_UNSEEN.sub(" ", str(value)).split()).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}" if text else ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> str:
    """Return a table of cells that are Markdown already: so many columns of texts, then numbers to the right."""
    rules = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(rules)} |"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
