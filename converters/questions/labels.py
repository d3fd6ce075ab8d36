"""From a label to the answer that is trained on, by a mapping that the user may replace."""

from __future__ import annotations

from collections.abc import Sequence

from ...schema.errors import ItemError, UsageError
from ..rows import Row
from .fields import cell_at

__all__ = ["LabelAnswers"]


class LabelAnswers:
    """The answer to each label.

    Args:
        pairs: `LABEL=ANSWER`, each label once; labels are compared as texts, in any case.
        default: the source's own pairs, whose answers people know.

    Raises:
        UsageError: one is not such a pair, has no answer, or is given twice.
    """

    def __init__(self, pairs: Sequence[str], default: Sequence[str] = ()) -> None:
        self._answers: dict[str, str] = {}
        self._default = [pair.partition("=")[2] for pair in default]
        for pair in pairs:
            label, _, answer = pair.partition("=")
            if not label.strip() or not answer.strip():
                raise UsageError(f"the label {pair!r}: expected LABEL=ANSWER, such as 1=Yes")
            if label.strip().casefold() in self._answers:
                raise UsageError(f"the label {pair!r}: {label.strip()!r} has an answer already; give it one")
            self._answers[label.strip().casefold()] = answer.strip()

    def choice(self, *, last_first: bool = False) -> str:
        """Return the answers as a prompt offers them, such as `True or False`."""
        answers = list(dict.fromkeys(self._answers.values()))
        return " or ".join(reversed(answers) if last_first else answers)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Refuse a prompt that offers the source's own answers where others are trained on.

        Raises:
            UsageError: one does.
        """
        given = {answer.casefold() for answer in self._answers.values()}
        usual = [answer.casefold() for answer in self._default]
        if given == set(usual):
            return
        for prompt in prompts:
            if any(f"{a} or {b}" in prompt.casefold() for a in usual for b in usual if a != b):
                raise UsageError(
                    f"the prompt {prompt!r} offers {' or '.join(self._default)}, but --label makes the answers "
                    f"{self.choice()}; let the prompt offer those"
                )

    def of(self, row: Row, split: str) -> tuple[str, dict[str, str]]:
        """Return the answer to a row's `label`, and what the record's `meta` says of it.

        Rows of a test split need no label: they are to be predicted on, and their answer is empty.

        Raises:
            ItemError: the label is missing, or has no answer.
        """
        values = row.cells()
        if split.startswith("test") and values.get("label") is None:
            return "", {}
        label = cell_at(values, "label")
        answer = self._answers.get(str(label).casefold()) if isinstance(label, str | int) else None
        if answer is None:
            raise ItemError(f"the label {label!r} has no answer; there are: {', '.join(self._answers)} (--label)")
        return answer, {"label": str(label)}
