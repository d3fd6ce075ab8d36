"""What a dataset's card says in numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from ...schema.dataset import Dataset
from ...schema.index import Counting, RecordIndex, record_costs
from ...schema.jsonl import read_lines
from ...schema.layout import QUARANTINE
from ...schema.progress import Progress, silent
from ...schema.record import Record
from ...schema.rules.validate import find_all

_MOST_LABELS = 1000
_LONGEST_LABEL = 60


class SplitFacts(msgspec.Struct):
    """Counts of one split."""

    split: str
    records: int = 0
    images: int = 0
    turns: int = 0
    without_answer: int = 0


class Leak(NamedTuple):
    """What is in two splits at once: groups, or images by their path, with one of them as an example."""

    what: str
    splits: tuple[str, str]
    number: int
    example: str


class Facts(msgspec.Struct):
    """What follows from the records alone.

    Args:
        splits: counts, a row a split.
        labels_are: where labels come from: `meta.label`, `answer`, or "" where records have none.
        labels: of each label, records by split.
        quarantined: items by stage and exception.
        leaks: what is in two splits at once.
        has_groups: whether records name groups.
    """

    splits: list[SplitFacts]
    labels_are: str
    labels: dict[str, Counter[str]]
    quarantined: Counter[tuple[str, str]]
    leaks: list[Leak]
    has_groups: bool


class Measured(msgspec.Struct):
    """What takes a look at every image.

    Args:
        widths: least, median and most, in pixels.
        heights: the same.
        tokens: of each split: least, median, most and sum, images and texts.
        num_crops: most crops an image that tokens were counted at.
        tokenizer: whose tokens.
        findings: of `validate`, by severity and rule.
    """

    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    tokens: dict[str, tuple[int, int, int, int]]
    num_crops: int
    tokenizer: str
    findings: Counter[tuple[str, str]]


def dataset_facts(dataset: Dataset) -> Facts:
    """Read every record once; no image is opened.

    Raises:
        RecordError: a line is no record.
        DatasetError: a file of records cannot be read.
    """
    splits = []
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, set[str]] = {}
    images: dict[str, set[str]] = {}
    for split in dataset.splits:
        counts = SplitFacts(split)
        splits.append(counts)
        groups[split], images[split] = set(), set()
        for record in dataset.records(split):
            meta = {} if record.meta is UNSET else record.meta
            counts.records += 1
            counts.turns += len(record.conversations)
            counts.without_answer += any(not turn.assistant for turn in record.conversations)
            shown = list(record.images())
            counts.images += len(shown)
            images[split].update(shown)
            if meta.get("group"):
                groups[split].add(str(meta["group"]))
            if isinstance(meta.get("label"), str | int):
                labels[str(meta["label"])][split] += 1
            if len(answers) <= _MOST_LABELS:
                answers[_answer(record)][split] += 1
    records = sum(counts.records for counts in splits)
    labels_are = "meta.label" if labels else ""
    if not labels and _are_labels(answers, records):
        labels, labels_are = answers, "answer"
    leaks = [*_leaks("groups", groups), *_leaks("images", images)]
    return Facts(splits, labels_are, dict(labels), _quarantined(dataset), leaks, any(groups.values()))


def measure(
    dataset: Dataset,
    counting: Counting,
    tokenizer: str,
    workers: int | None = None,
    progress: Progress = silent,
) -> Measured:
    """Measure images and tokens from headers, and run the validator; what was measured is kept beside the data."""
    sizes: list[npt.NDArray[np.int64]] = []
    tokens = {}
    for split in _with_records(dataset):
        costs = record_costs(RecordIndex(dataset, split, progress), counting, workers, progress)
        tokens[split] = (*_spread(costs.tokens), int(costs.tokens.sum()))
        sizes += [np.array(costs.sizes(number), np.int64).reshape(-1, 2) for number in range(len(costs))]
    shown = np.concatenate(sizes) if sizes else np.empty((0, 2), np.int64)
    shown = shown[shown.min(axis=1) > 0] if len(shown) else shown
    findings = Counter((found.severity, f"{found.rule} {found.name}") for found in find_all(dataset, "files"))
    return Measured(
        widths=_spread(shown[:, 0]),
        heights=_spread(shown[:, 1]),
        tokens=tokens,
        num_crops=counting.num_crops,
        tokenizer=tokenizer,
        findings=Counter[tuple[str, str]](findings),
    )


def _with_records(dataset: Dataset) -> list[str]:
    empty = {row.split for row in dataset.manifest.splits if not row.records} if dataset.manifest else set()
    return [split for split in dataset.splits if split not in empty]


def _answer(record: Record) -> str:
    return record.conversations[0].assistant if len(record.conversations) == 1 else ""


def _are_labels(answers: dict[str, Counter[str]], records: int) -> bool:
    few = len(answers) <= _MOST_LABELS and len(answers) * 2 <= records
    return few and all(answer and len(answer) <= _LONGEST_LABEL for answer in answers)


def _leaks(what: str, of_splits: dict[str, set[str]]) -> Iterator[Leak]:
    splits = list(of_splits)
    for place, first in enumerate(splits):
        for second in splits[place + 1 :]:
            both = of_splits[first] & of_splits[second]
            if both:
                yield Leak(what, (first, second), len(both), min(both))


def _quarantined(dataset: Dataset) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    if dataset.folder.exists(QUARANTINE):
        for line in read_lines(dataset.folder, QUARANTINE):
            item = msgspec.json.decode(line.data, type=dict[str, object])
            found[str(item.get("stage", "")), str(item.get("exception", ""))] += 1
    return found


def _spread(values: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    if not len(values):
        return 0, 0, 0
    return int(values.min()), int(np.median(values)), int(values.max())
