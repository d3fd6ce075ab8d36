"""Numbers of all records: distributions by split, and the columns that pages sort and filter by."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from .look import Looked

MOST_LABELS = 1000
"""More distinct answers than this are texts, not labels."""
_BINS = 24
_LONGEST_LABEL = 60


class Distribution(msgspec.Struct, frozen=True):
    """How a number is spread, split by split.

    Args:
        name: of the number.
        unit: of it.
        edges: of the bins, one more than bins; [] where every bin is one whole number, named by `values`.
        values: the whole numbers, where there are few.
        counts: of each split, records in each bin.
        median: of each split; None where it has no records.
        least: over all.
        most: over all.
    """

    name: str
    unit: str
    edges: list[float]
    values: list[int]
    counts: dict[str, list[int]]
    median: dict[str, float | None]
    least: int
    most: int


class SplitTally:
    """Numbers of one split's records, chunk by chunk.

    Args:
        split: its name.
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self.tokens: list[int] = []
        self.supervised: list[int] = []
        self.images: list[int] = []
        self.turns: list[int] = []
        self.widths: list[int] = []
        self.heights: list[int] = []
        self.labels: list[str | None] = []
        self.answers: list[str] = []
        self.images_of = array("Q")
        """Keys of first images among the image facts; see `Looked.images_of`."""

    def add(self, looked: Looked) -> None:
        """Take a chunk's numbers."""
        self.tokens += looked.tokens
        self.supervised += looked.supervised
        self.images += looked.images
        self.turns += looked.turns
        self.widths += [width for width, _ in looked.sizes]
        self.heights += [height for _, height in looked.sizes]
        self.labels += looked.labels
        self.answers += looked.answers
        self.images_of.extend(looked.images_of)

    def __len__(self) -> int:
        return len(self.tokens)


class Tally:
    """Numbers of the whole dataset.

    Args:
        splits: in the dataset's order.
    """

    def __init__(self, splits: Sequence[SplitTally]) -> None:
        self.splits = list(splits)
        self.labels_are, of_splits = _labels(self.splits)
        """Where labels come from: "meta.label", "answer", or "" where records have none."""
        counts = Counter(label for labels in of_splits for label in labels if label)
        self.label_names = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        """Every label, the most frequent first."""
        codes = {name: code for code, name in enumerate(self.label_names, 1)}
        self.label_codes = [codes.get(label or "", 0) for labels in of_splits for label in labels]
        """Of each record, the place of its label in `label_names`, from 1; 0 for none."""
        self.label_counts = {
            tally.split: _counted(labels, self.label_names)
            for tally, labels in zip(self.splits, of_splits, strict=True)
        }

    def columns(self) -> dict[str, Iterable[int]]:
        """Return what pages sort by, a number a record, split after split."""
        return {
            "label": self.label_codes,
            "tokens": self._all("tokens"),
            "images": self._all("images"),
            "turns": self._all("turns"),
            "pixels": (w * h for w, h in zip(self._all("widths"), self._all("heights"), strict=True)),
        }

    def distributions(self, counted_texts: bool) -> list[Distribution]:
        """Return how tokens, sizes, images and turns are spread.

        Args:
            counted_texts: whether tokens of texts were counted, or those of images alone.
        """
        found = [
            _distribution("tokens a record" if counted_texts else "image tokens a record", "tokens", self._by("tokens"))
        ]
        if counted_texts:
            found.append(_distribution("supervised tokens a record", "tokens", self._by("supervised")))
        found.append(_distribution("images a record", "images", self._by("images")))
        found.append(_distribution("turns a record", "turns", self._by("turns")))
        shown = {name: [v for v in values if v] for name, values in self._by("widths").items()}
        found.append(_distribution("image width", "pixels", shown))
        shown = {name: [v for v in values if v] for name, values in self._by("heights").items()}
        found.append(_distribution("image height", "pixels", shown))
        return [each for each in found if each.most]

    def _by(self, column: str) -> dict[str, list[int]]:
        return {tally.split: getattr(tally, column) for tally in self.splits}

    def _all(self, column: str) -> Iterable[int]:
        return (value for tally in self.splits for value in getattr(tally, column))


def _labels(splits: Sequence[SplitTally]) -> tuple[str, list[list[str | None]]]:
    """Take `meta.label`; where no record has one, the answers, if they are few and short."""
    if any(label is not None for tally in splits for label in tally.labels):
        return "meta.label", [tally.labels for tally in splits]
    distinct: set[str] = set()
    for tally in splits:
        distinct.update(tally.answers)
        if len(distinct) > MOST_LABELS:
            break
    records = sum(map(len, splits))
    few = len(distinct) <= MOST_LABELS and len(distinct) * 2 <= records
    if few and all(len(answer) <= _LONGEST_LABEL for answer in distinct):
        return "answer", [[answer or None for answer in tally.answers] for tally in splits]
    return "", [[None] * len(tally) for tally in splits]


def _counted(labels: Sequence[str | None], names: Sequence[str]) -> list[int]:
    counts = Counter(labels)
    return [counts[name] for name in names]


def _distribution(name: str, unit: str, by_split: dict[str, list[int]]) -> Distribution:
    arrays = {split: np.array(values, dtype=np.int64) for split, values in by_split.items()}
    everything: npt.NDArray[np.int64] = np.concatenate(list(arrays.values())) if arrays else np.empty(0, np.int64)
    if not len(everything):
        return Distribution(name, unit, [], [], {}, {}, 0, 0)
    least, most = int(everything.min()), int(everything.max())
    values = np.unique(everything)
    edges: list[float] = []
    if len(values) <= _BINS:
        counts = {split: [int((array == value).sum()) for value in values] for split, array in arrays.items()}
    else:
        edges = _edges(least, most)
        counts = {split: np.histogram(array, edges)[0].tolist() for split, array in arrays.items()}
        values = values[:0]
    median = {split: float(np.median(array)) if len(array) else None for split, array in arrays.items()}
    return Distribution(name, unit, edges, values.tolist(), counts, median, least, most)


def _edges(least: int, most: int) -> list[float]:
    """Return round edges of about `_BINS` bins."""
    raw = (most - least) / _BINS
    magnitude = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw)
    step = max(1.0, step)
    first = math.floor(least / step)
    return [step * (first + number) for number in range(math.ceil((most + 1) / step) - first + 1)]
