"""Two evaluations of the same questions, compared question by question: what training has changed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ...schema.errors import UsageError
from .confidence import mcnemar, mean_interval
from .result import Answer, Evaluation, Metric

_RESAMPLES = 1000


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed from one evaluation to another.

    Args:
        questions: in both, with an answer to compare with.
        differences: by metric, the mean of (after - before), with its 95 % interval over the questions in both.
        fixed: answers that were wrong and are correct, as (record id, turn).
        broken: answers that were correct and are wrong.
        p_value: of McNemar's exact test: how likely so uneven a change is, if nothing had changed.
    """

    questions: int
    differences: dict[str, Metric]
    fixed: list[tuple[str, int]]
    broken: list[tuple[str, int]]
    p_value: float

    def summary(self) -> str:
        """Describe it in one line."""
        parts = [
            f"{name} {metric.value:+.3f}"
            + ("" if metric.low is None or metric.high is None else f" ({metric.low:+.3f} to {metric.high:+.3f})")
            for name, metric in self.differences.items()
        ]
        return f"{', '.join(parts)}; {len(self.fixed)} fixed, {len(self.broken)} broken, p = {self.p_value:.3g}"


def compare(before: Evaluation, after: Evaluation) -> Comparison:
    """Compare two evaluations.

    Questions are drawn one by one for the intervals: the files hold no groups.

    Args:
        before: one evaluation.
        after: another, of the same split.

    Raises:
        UsageError: they share no question that can be compared.
    """
    earlier = {answer.key: answer for answer in before.answers if answer.correct is not None}
    pairs = [(earlier[answer.key], answer) for answer in after.answers if answer.key in earlier]
    if not pairs:
        raise UsageError(f"nothing to compare: splits {before.split} and {after.split} share no answered question")
    fixed = [new.key for old, new in pairs if new.correct and not old.correct]
    broken = [new.key for old, new in pairs if old.correct and not new.correct]
    differences = {"accuracy": _difference(pairs, lambda answer: float(bool(answer.correct)))}
    if all(answer.anls is not None for pair in pairs for answer in pair):
        differences["anls"] = _difference(pairs, lambda answer: answer.anls or 0.0)
    return Comparison(
        questions=len(pairs),
        differences=differences,
        fixed=fixed,
        broken=broken,
        p_value=mcnemar(len(fixed), len(broken)),
    )


def _difference(pairs: list[tuple[Answer, Answer]], score: Callable[[Answer], float]) -> Metric:
    values = [score(new) - score(old) for old, new in pairs]
    low, high = mean_interval(values, range(len(values)), _RESAMPLES) or (None, None)
    return Metric(value=sum(values) / len(values), count=len(values), low=low, high=high)
