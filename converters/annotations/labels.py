"""From a label to the answer that is trained on, by a mapping that the user may replace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...schema.errors import ItemError, UsageError

__all__ = ["LabelAnswers"]


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

    def answer(self, label: Any) -> str:
        """Return a label's answer.

        Raises:
            ItemError: it has none.
        """
        answer = self._answers.get(str(label).casefold()) if isinstance(label, str | int) else None
        if answer is None:
            raise ItemError(f"the label {label!r} has no answer; there are: {', '.join(self._answers)} (--label)")
        return answer
