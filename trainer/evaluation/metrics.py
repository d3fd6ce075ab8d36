"""What an answer is worth. Pure functions of text and numbers, without a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

_THRESHOLD = 0.5


def normalized(answer: str) -> str:
    """Strip white space and full stops from both ends and lower the case: the recipe's comparison."""
    return answer.strip().strip(".").strip().lower()


def is_correct(given: str, accepted: Iterable[str]) -> bool:
    """Tell whether an answer equals one of those accepted, both normalized."""
    return normalized(given) in {normalized(answer) for answer in accepted}


def anls(given: str, accepted: Sequence[str]) -> float:
    """Return the ANLS of one answer as the DocVQA benchmark scores it.

    The normalized Levenshtein similarity to the nearest accepted answer, 0 below one half. Case does not count, and
    neither does the amount of white space (Biten et al., "Scene Text Visual Question Answering", 2019; the benchmark's
    own scoring keeps a similarity of exactly one half, where the paper's formula drops it).

    Args:
        given: the model's answer.
        accepted: the acceptable answers, at least one.
    """
    return max(_similarity(_folded(given), _folded(answer)) for answer in accepted)


def recipe_anls(given: str, accepted: Sequence[str]) -> float:
    """Return the ANLS of one answer as the recipe computes it.

    It differs from `anls` in three ways: case counts, white space and full stops are stripped from the ends of the
    given answer only, and a similarity of exactly one half is 0.

    Args:
        given: the model's answer.
        accepted: the acceptable answers, at least one.
    """
    stripped = given.strip().strip(".")
    if not stripped:
        return 0.0
    best = max(_similarity(stripped, answer) for answer in accepted)
    return best if best > _THRESHOLD else 0.0


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _similarity(one: str, other: str) -> float:
    similarity = Levenshtein.normalized_similarity(one, other)
    return similarity if similarity >= _THRESHOLD else 0.0


def group_correct(answers: Iterable[tuple[Hashable, bool | None]]) -> list[bool]:
    """Tell for each group of answers whether all of them are correct, in the order in which the groups first appear.

    Args:
        answers: for each answer, the group it belongs to, and whether it is correct. Answers of no group ("") and
            answers without anything to compare with (None) do not count.
    """
    groups: dict[Hashable, list[bool]] = defaultdict(list)
    for group, correct in answers:
        if group != "" and correct is not None:
            groups[group].append(correct)
    return [all(of_group) for of_group in groups.values()]


def roc_auc(
    positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64], weights: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Return the area under the ROC curve: how often a positive scores higher than a negative, ties counted half.

    Args:
        positive: which of the answers are of the positive label, [answers].
        scores: what the model says for it, [answers].
        weights: how often each answer counts, [resamples, answers]; once each where None.

    Returns:
        [resamples] (one without `weights`); NaN where only one of the labels is there.
    """
    counts = np.ones((1, len(scores))) if weights is None else weights
    _, rank = np.unique(scores, return_inverse=True)
    shape = (len(counts), int(rank.max()) + 1 if len(rank) else 0)
    positives, negatives = np.zeros(shape), np.zeros(shape)
    for row, each in enumerate(counts):
        positives[row] = np.bincount(rank, each * positive, shape[1])
        negatives[row] = np.bincount(rank, each * ~positive, shape[1])
    below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(invalid="ignore"):
        area: npt.NDArray[np.float64] = (positives * below).sum(1) / (positives.sum(1) * negatives.sum(1))
    return area
