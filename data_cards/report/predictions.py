"""What runs answer to the questions of a split, side by side: wrong answers first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..run_files import EvaluationFile, RunFiles

_MOST_CLASSES = 60
_LONGEST_CLASS = 60


class Column(NamedTuple):
    """One evaluation of one run.

    Args:
        run: the run's place among the runs.
        name: `before`, `after`, or the name of a later evaluation.
        evaluation: its answers.
    """

    run: int
    name: str
    evaluation: EvaluationFile


class Asked(msgspec.Struct, array_like=True):
    """A question, and what each column answers and whether it is right; None where it was not asked."""

    split: str
    id: str
    turn: int
    expected: str
    answers: list[tuple[str, bool | None] | None]


class Confusion(msgspec.Struct):
    """Labels against answers of one column.

    Args:
        labels: as the records write them, sorted.
        matrix: a row a label: how often its questions were answered by each label, and last, by none of them.
    """

    labels: list[str]
    matrix: list[list[int]]


def columns_of(runs: Sequence[RunFiles]) -> list[Column]:
    """Return every evaluation of every run."""
    return [Column(place, name, found) for place, run in enumerate(runs) for name, found in run.evaluations.items()]


def asked(columns: Sequence[Column]) -> list[Asked]:
    """Return every question: those whose latest answers are wrong first, then what has no score, then the right ones.

    Within each, the questions keep the order in which they were asked.
    """
    rows: dict[tuple[str, str, int], Asked] = {}
    for place, column in enumerate(columns):
        for answer in column.evaluation.answers:
            key = (column.evaluation.split, answer.id, answer.turn)
            row = rows.get(key)
            if row is None:
                row = rows[key] = Asked(*key, answer.expected, [None] * len(columns))
            row.answers[place] = (answer.given, answer.correct)
    latest = _latest(columns)
    return sorted(rows.values(), key=lambda row: _rank([row.answers[place] for place in latest]))


def _latest(columns: Sequence[Column]) -> list[int]:
    """Return the columns that say how good a run is in the end: all but `before`, where there is another."""
    after = [place for place, column in enumerate(columns) if column.name != "before"]
    return after or list(range(len(columns)))


def _rank(answers: Sequence[tuple[str, bool | None] | None]) -> float:
    scored = [answer[1] for answer in answers if answer is not None and answer[1] is not None]
    return sum(scored) / len(scored) if scored else 0.5


def normalized(answer: str) -> str:
    """Strip white space and full stops and lower the case: the comparison that training's accuracy makes."""
    return answer.strip().strip(".").strip().lower()


def confusion(evaluation: EvaluationFile) -> Confusion | None:
    """Count labels against answers; None where the answers are no classes."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    pairs: Counter[tuple[str, str]] = Counter()
    for answer in evaluation.answers:
        if not answer.expected or len(answer.expected) > _LONGEST_CLASS:
            return None
        names[normalized(answer.expected)][answer.expected] += 1
        pairs[normalized(answer.expected), normalized(answer.given)] += 1
        if len(names) > _MOST_CLASSES:
            return None
    if not 2 <= len(names) <= len(evaluation.answers) / 2:
        return None
    labels = sorted(names)
    matrix = [[pairs[label, given] for given in labels] for label in labels]
    for row, label in zip(matrix, labels, strict=True):
        row.append(sum(names[label].values()) - sum(row))
    return Confusion([names[label].most_common(1)[0][0] for label in labels], matrix)
