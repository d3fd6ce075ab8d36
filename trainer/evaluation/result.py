"""What an evaluation finds, and its file `eval_<split>.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...schema.errors import DatasetError

_LOWER_IS_BETTER = {"loss"}


def is_better(metric: str, value: float, other: float) -> bool:
    """Tell whether a value of a metric is better than another: lower for the loss, higher for all else."""
    return value < other if metric in _LOWER_IS_BETTER else value > other


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the model answers to one turn of one record.

    Args:
        id: the record's.
        turn: which turn, from 0.
        expected: the record's own answer; empty where it has none.
        given: the model's, white space stripped.
        correct: whether they are equal by the recipe's comparison, or `given` is another acceptable answer; null where
            there is nothing to compare with.
        anls: the score of DocVQA's benchmark, of an answer with several acceptable ones.
        recipe_anls: the same as the recipe computes it.
        positive: the probability of the positive label, of an answer that is one of two labels.
        loss: the cross-entropy of `expected`, in nats, summed over its tokens as training counts them; null where it
            was not computed, or the turn is not supervised.
        supervised: how many tokens these are.
    """

    id: str
    turn: int
    expected: str
    given: str
    correct: bool | None
    anls: float | None = None
    recipe_anls: float | None = None
    positive: float | None = None
    loss: float | None = None
    supervised: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What tells its question from every other one of the split."""
        return self.id, self.turn


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number, and how sure it is.

    Args:
        value: from 0 to 1, higher is better; of the loss, in nats a token, lower is better.
        count: what it is a mean over: answers, groups of them, or supervised tokens.
        low: lower end of the 95 % interval; null where there is too little for one.
        high: the upper end.
    """

    value: float
    count: int
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" ({self.low:.3f}-{self.high:.3f})"
        return f"{self.value:.3f}{interval}"


class ClassTable(msgspec.Struct, frozen=True, kw_only=True):
    """Labels against answers.

    Args:
        labels: as the records write them, sorted.
        matrix: a row a label: how often its questions were answered by each label, and last, by none of them.
        precision: of each label; null where it was never given.
        recall: of each label.
        f1: of each label.
    """

    labels: list[str]
    matrix: list[list[int]]
    precision: list[float | None]
    recall: list[float]
    f1: list[float]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One split, evaluated.

    Args:
        split: its name.
        metrics: by name. `accuracy`; `anls` and `recipe_anls` where turns have several acceptable answers; `roc_auc`
            where there are two labels; `consistency` (share of the pairs, `meta.pair`, of which every answer is right)
            and `sentence_consistency` (the same by `meta.sentence`, NLVR2's own consistency) where records name them;
            `loss`, where it was computed, over the supervised tokens as in training.
        primary: the metric that checkpoints are chosen by.
        positive_label: whose probability `roc_auc` ranks by; null without it.
        correct: answers that are right.
        total: answers that could be compared.
        without_answer: answers beside those, to turns without an answer of their own.
        classes: labels against answers, where the answers are classes.
        answers: every one of them, in the order of the records.
    """

    split: str
    metrics: dict[str, Metric]
    primary: str | None
    positive_label: str | None = None
    correct: int
    total: int
    without_answer: int
    classes: ClassTable | None = None
    answers: list[Answer]

    def value(self, name: str) -> float | None:
        """Return a metric's value; None where it was not computed."""
        metric = self.metrics.get(name)
        return metric.value if metric else None

    @property
    def accuracy(self) -> float | None:
        """The share of correct answers; None where nothing could be compared."""
        return self.value("accuracy")

    def as_json(self) -> bytes:
        """Return it as indented JSON, the numbers first."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def summary(self) -> str:
        """Describe it in one line."""
        parts = [f"{name.replace('_', ' ')} {metric}" for name, metric in self.metrics.items()]
        if self.total:
            parts[0] += f" on {self.split}, {self.correct} of {self.total} correct"
        if self.without_answer:
            parts.append(f"without an answer to compare with on {self.split}: {self.without_answer}")
        return ", ".join(parts)


def read_evaluation(path: Path) -> Evaluation:
    """Read an `eval_<split>.json`.

    Raises:
        DatasetError: there is none, or it is not one.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except OSError as error:
        what = f"{path}: cannot be read ({error.strerror or error})"
        raise DatasetError(f"{what}; expected a result of: phi3v-data evaluate") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not an evaluation ({error}); write one with: phi3v-data evaluate") from error
