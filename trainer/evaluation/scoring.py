"""From questions and answers to the numbers of an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from ...schema.errors import UsageError
from ..config import EvaluationConfig
from .confidence import Array, Interval, mean_interval, resampled_interval
from .losses import TurnLoss
from .metrics import anls, group_correct, is_correct, normalized, recipe_anls, roc_auc
from .questions import Question
from .result import Answer, ClassTable, Evaluation, Metric

_USUALLY_POSITIVE = ("yes", "true", "1", "positive", "hateful")
_MOST_CLASSES = 200


def labels_of(questions: Sequence[Question], positive: str | None = None) -> tuple[str, str] | None:
    """Return the negative and the positive label of a split whose answers are two; None for any other split.

    Args:
        questions: all of the split.
        positive: the positive label, where it is named; else the usual ones are tried ("yes", "true" ...), then the
            last in the order of the alphabet.

    Raises:
        UsageError: the positive label named is neither of the two.
    """
    found = {normalized(question.expected): question.expected for question in questions if question.expected}
    if len(found) != 2:
        return None
    if positive is not None and normalized(positive) not in found:
        have = " and ".join(sorted(found.values()))
        raise UsageError(f"evaluation.positive_label={positive}: no such answer; the answers are {have}")
    chosen = normalized(positive) if positive else next((label for label in _USUALLY_POSITIVE if label in found), "")
    last = chosen or max(found)
    (first,) = found.keys() - {last}
    return found[first], found[last]


def score_answer(question: Question, given: str, positive: float | None, loss: TurnLoss | None = None) -> Answer:
    """Compare one answer with those that are accepted.

    Args:
        question: what was asked.
        given: the model's answer.
        positive: the probability of the positive label, if there is one.
        loss: of the record's own answer, if it was computed.
    """
    loss = loss or TurnLoss()
    several = len(question.accepted) > 1
    return Answer(
        id=question.id,
        turn=question.turn,
        expected=question.expected,
        given=given,
        correct=is_correct(given, question.accepted) if question.accepted else None,
        anls=anls(given, question.accepted) if several else None,
        recipe_anls=recipe_anls(given, question.accepted) if several else None,
        positive=positive,
        loss=loss.total if loss.tokens else None,
        supervised=loss.tokens,
    )


class _Scores:
    """The answers that can be compared, with their questions."""

    def __init__(self, questions: Sequence[Question], answers: Sequence[Answer], settings: EvaluationConfig) -> None:
        self._whole = list(zip(questions, answers, strict=True))
        pairs = [each for each in self._whole if each[1].correct is not None]
        self.questions = [question for question, _ in pairs]
        self.answers = [answer for _, answer in pairs]
        self.groups = [question.group for question in self.questions]
        self.resamples = settings.resamples
        self.labels = labels_of(self.questions, settings.positive_label)

    def accuracy(self) -> Metric | None:
        return self._mean([float(bool(answer.correct)) for answer in self.answers], self.groups)

    def anls(self) -> Metric | None:
        return self._of_several(anls)

    def recipe_anls(self) -> Metric | None:
        return self._of_several(recipe_anls)

    def consistency(self) -> Metric | None:
        return self._all_correct([question.pair for question in self.questions])

    def sentence_consistency(self) -> Metric | None:
        return self._all_correct([question.sentence for question in self.questions])

    def roc_auc(self) -> Metric | None:
        rows = [row for row, answer in enumerate(self.answers) if answer.positive is not None]
        if self.labels is None or not rows:
            return None
        label = normalized(self.labels[1])
        positive = np.array([normalized(self.questions[row].expected) == label for row in rows])
        scores = np.array([self.answers[row].positive for row in rows], float)
        value = float(roc_auc(positive, scores)[0])
        if np.isnan(value):
            return None

        def area(weights: Array) -> Array:
            return roc_auc(positive, scores, weights)

        return _metric(value, len(rows), resampled_interval([self.groups[r] for r in rows], self.resamples, area))

    def loss(self) -> Metric | None:
        rows = [(question.group, answer) for question, answer in self._whole if answer.loss is not None]
        if not rows:
            return None
        losses = np.array([answer.loss for _, answer in rows], float)
        tokens = np.array([answer.supervised for _, answer in rows], float)

        def mean(weights: Array) -> Array:
            of_draws: Array = (weights @ losses) / (weights @ tokens)
            return of_draws

        interval = resampled_interval([group for group, _ in rows], self.resamples, mean)
        return _metric(float(losses.sum() / tokens.sum()), int(tokens.sum()), interval)

    def _of_several(self, score: Callable[[str, Sequence[str]], float]) -> Metric | None:
        if not any(len(question.accepted) > 1 for question in self.questions):
            return None
        pairs = zip(self.questions, self.answers, strict=True)
        return self._mean([score(answer.given, question.accepted) for question, answer in pairs], self.groups)

    def _all_correct(self, names: Sequence[str]) -> Metric | None:
        correct = group_correct((name, answer.correct) for name, answer in zip(names, self.answers, strict=True))
        return self._mean([float(each) for each in correct], range(len(correct)))

    def _mean(self, values: Sequence[float], groups: Sequence[Hashable]) -> Metric | None:
        if not values:
            return None
        interval = mean_interval(values, groups, self.resamples)
        return _metric(sum(values) / len(values), len(values), interval)

    def classes(self) -> ClassTable | None:
        """Return labels against answers, where the answers are classes: named by the records, or few and repeated."""
        labels = {normalized(question.expected): question.expected for question in self.questions if question.expected}
        named = all(question.has_label for question in self.questions)
        if not 2 <= len(labels) <= _MOST_CLASSES or not (named or 2 * len(labels) <= len(self.questions)):
            return None
        order = {label: number for number, label in enumerate(sorted(labels))}
        matrix = np.zeros((len(order), len(order) + 1), int)
        pairs = [(q, a) for q, a in zip(self.questions, self.answers, strict=True) if q.expected]
        for question, answer in pairs:
            matrix[order[normalized(question.expected)], order.get(normalized(answer.given), len(order))] += 1
        right, given, there = matrix.diagonal(), matrix.sum(0)[:-1], matrix.sum(1)
        return ClassTable(
            labels=[labels[label] for label in order],
            matrix=matrix.tolist(),
            precision=[float(r / g) if g else None for r, g in zip(right, given, strict=True)],
            recall=(right / there).tolist(),
            f1=(2 * right / (given + there)).tolist(),
        )


def _metric(value: float, count: int, interval: Interval | None) -> Metric:
    low, high = interval or (None, None)
    return Metric(value=value, count=count, low=low, high=high)


class _Definition(NamedTuple):
    """One metric: how it is computed, what it needs of the data in words, and whether a question has that."""

    compute: Callable[[_Scores], Metric | None]
    needs: str
    has: Callable[[Question], bool]


METRICS: dict[str, _Definition] = {
    "accuracy": _Definition(_Scores.accuracy, "answers to compare with", lambda question: bool(question.accepted)),
    "anls": _Definition(_Scores.anls, "turns with several acceptable `answers`", lambda q: len(q.accepted) > 1),
    "recipe_anls": _Definition(
        _Scores.recipe_anls, "turns with several acceptable `answers`", lambda q: len(q.accepted) > 1
    ),
    "roc_auc": _Definition(
        _Scores.roc_auc, "exactly two different answers in the split", lambda question: bool(question.expected)
    ),
    "consistency": _Definition(_Scores.consistency, "records with `meta.pair`", lambda q: bool(q.pair and q.accepted)),
    "sentence_consistency": _Definition(
        _Scores.sentence_consistency, "records with `meta.sentence`", lambda q: bool(q.sentence and q.accepted)
    ),
    "loss": _Definition(_Scores.loss, "supervised turns", lambda question: question.is_supervised),
}
"""Each metric by name. `loss` needs another pass of the model: it is computed where it is asked for."""


def wants_loss(settings: EvaluationConfig) -> bool:
    """Tell whether the loss was asked for."""
    return "loss" in (*settings.metric_names, settings.primary)


def check_metrics(settings: EvaluationConfig, split: str, questions: Sequence[Question]) -> None:
    """Make sure, before anything is asked, that the metrics asked for exist and the data has what they need.

    Args:
        settings: name the metrics.
        split: its name.
        questions: all of it.

    Raises:
        UsageError: one does not exist, or the data lacks what it needs.
    """
    asked = dict.fromkeys(settings.metric_names, "evaluation.metrics")
    asked |= {settings.primary: "evaluation.primary"} if settings.primary else {}
    for name, where in asked.items():
        if name not in METRICS:
            raise UsageError(f"{where}: no metric {name!r}; there are: {', '.join(METRICS)}")
        definition = METRICS[name]
        labelled = name != "roc_auc" or labels_of(questions, settings.positive_label) is not None
        if not labelled or not any(map(definition.has, questions)):
            lacks = f"the metric {name} needs {definition.needs}, which split {split} does not have"
            raise UsageError(f"{where}: {lacks}; leave it out")


def scored(
    split: str, questions: Sequence[Question], answers: Sequence[Answer], settings: EvaluationConfig
) -> Evaluation:
    """Compute every metric that the data allows, or those that were asked for.

    Args:
        split: its name.
        questions: all of the split, in the order of its records.
        answers: one each, in the same order.
        settings: which metrics, and how often answers are drawn for their intervals.

    Raises:
        UsageError: see `check_metrics`.
    """
    check_metrics(settings, split, questions)
    scores = _Scores(questions, answers, settings)
    wanted = {*settings.metric_names, settings.primary} if settings.metric_names else METRICS.keys()
    computed = {name: definition.compute(scores) for name, definition in METRICS.items() if name in wanted}
    metrics = {name: metric for name, metric in computed.items() if metric is not None}
    primary = settings.primary or next((name for name in ("anls", "accuracy", *metrics) if name in metrics), None)
    correct = Counter(answer.correct for answer in answers)
    return Evaluation(
        split=split,
        metrics=metrics,
        primary=primary if primary in metrics else None,
        positive_label=scores.labels[1] if scores.labels and "roc_auc" in metrics else None,
        correct=correct[True],
        total=correct[True] + correct[False],
        without_answer=correct[None],
        classes=scores.classes(),
        answers=list(answers),
    )
