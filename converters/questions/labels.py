"""From a label to the answer that is trained on, by a mapping that the user may replace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...schema.errors import ItemError, UsageError
from .fields import cell_at
from .forms import RawRow

__all__ = ["LabelAnswers", "Labelled"]


class Labelled(NamedTuple):
    """The answer to a row's label, and what the record's `meta` says of it; an empty answer where there is no label."""

    answer: str
    meta: dict[str, str]


class LabelAnswers:
    """The answer to each label.

    Args:
        pairs: `LABEL=ANSWER`, each label once; labels are compared as texts, in any case.

    Raises:
        UsageError: one is no such pair, has no answer, or stands twice.
    """

    def __init__(self, pairs: Sequence[str]) -> None:
        self._answers: dict[str, str] = {}
        for pair in pairs:
            label, _, answer = pair.partition("=")
            if not label.strip() or not answer.strip():
                raise UsageError(f"the label {pair!r}: expected LABEL=ANSWER, such as 1=Yes")
            if label.strip().casefold() in self._answers:
                raise UsageError(f"the label {pair!r}: {label.strip()!r} has an answer already; give it one")
            self._answers[label.strip().casefold()] = answer.strip()

    def of(self, row: RawRow) -> Labelled:
        """Return the answer to a row's `label`. Rows of a test split need none: they are to be predicted on.

        Raises:
            ItemError: the label is missing, or has no answer.
        """
        if row.file.split.startswith("test") and row.values.get("label") is None:
            return Labelled("", {})
        label = cell_at(row.values, "label")
        return Labelled(self._answer(label), {"label": str(label)})

    def _answer(self, label: Any) -> str:
        answer = self._answers.get(str(label).casefold()) if isinstance(label, str | int) else None
        if answer is None:
            raise ItemError(f"the label {label!r} has no answer; there are: {', '.join(self._answers)} (--label)")
        return answer
