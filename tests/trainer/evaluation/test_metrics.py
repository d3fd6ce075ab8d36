"""Each metric against its definition, and against an implementation of its own where the definition is not one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.trainer.evaluation.metrics import anls, group_correct, is_correct, normalized, recipe_anls, roc_auc


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(" Yes. ", "yes"), ("a.b", "a.b"), ("...", ""), ("BabyCrawling", "babycrawling"), ("No .", "no"), ("", "")],
)
def test_white_space_full_stops_and_case_do_not_count(answer: str, expected: str) -> None:
    assert normalized(answer) == expected


def test_any_accepted_answer_is_correct_and_no_other() -> None:
    assert is_correct("Six.", ["6", "six"])
    assert not is_correct("seven", ["6", "six"])


def edits(one: str, other: str) -> int:
    """The edit distance by its recurrence, row by row."""
    row = list(range(len(other) + 1))
    for number, a in enumerate(one, 1):
        above, row = row, [number]
        for column, b in enumerate(other, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (a != b)))
    return row[-1]


short_text = st.text("aAbB .", max_size=8)


@given(short_text, st.lists(short_text, min_size=1, max_size=3))
def test_anls_is_the_benchmarks_formula(answer: str, accepted: list[str]) -> None:
    def similarity(expected: str) -> float:
        one, other = (" ".join(text.strip().lower().split()) for text in (answer, expected))
        longest = max(len(one), len(other))
        return 1 - (edits(one, other) / longest if longest else 0)

    best = max(map(similarity, accepted))
    assert anls(answer, accepted) == pytest.approx(best if best >= 0.5 else 0)


@given(short_text, st.lists(short_text.filter(bool), min_size=1, max_size=3))
def test_recipe_anls_is_the_recipes_formula(answer: str, accepted: list[str]) -> None:
    stripped = answer.strip().strip(".")
    distances = [edits(stripped, expected) / max(len(stripped), len(expected)) for expected in accepted]
    expected = max((1 - distance if distance < 0.5 else 0) for distance in distances) if stripped else 0
    assert recipe_anls(answer, accepted) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "accepted", "benchmark", "recipe"),
    [
        ("ITC Limited", ["itc limited"], 1.0, 7 / 11),  # case
        ("a  b", ["a b"], 1.0, 0.75),  # white space
        ("ab", ["ax"], 0.5, 0.0),  # exactly one half
        ("ab.", ["ab"], 2 / 3, 1.0),  # a full stop behind the answer
    ],
)
def test_the_two_forms_of_anls_differ_where_they_are_said_to(
    answer: str, accepted: list[str], benchmark: float, recipe: float
) -> None:
    assert (anls(answer, accepted), recipe_anls(answer, accepted)) == pytest.approx((benchmark, recipe))


def test_a_group_is_correct_if_every_answer_of_it_is() -> None:
    answers = [("a", True), ("b", True), ("a", False), ("b", True), ("c", True)]
    assert group_correct(answers) == [False, True, True]


def test_answers_without_a_group_or_without_anything_to_compare_with_do_not_count() -> None:
    assert group_correct([("a", True), ("", False), ("a", None), ("b", False)]) == [True, False]
    assert group_correct([("", True), ("a", None)]) == []


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_roc_auc_counts_the_pairs_that_are_in_order(rows: list[tuple[bool, int, int]]) -> None:
    positive, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    won = pairs = 0.0
    for is_positive, score, weight in rows:
        for other_positive, other_score, other_weight in rows:
            if is_positive and not other_positive:
                pairs += weight * other_weight
                won += weight * other_weight * ((score > other_score) + (score == other_score) / 2)
    (area,) = roc_auc(positive, scores.astype(float), weights[None].astype(float))
    assert area == pytest.approx(won / pairs, nan_ok=True) if pairs else np.isnan(area)


def test_without_weights_each_answer_counts_once() -> None:
    positive, scores = np.array([True, False, True]), np.array([0.9, 0.4, 0.3])
    assert roc_auc(positive, scores) == roc_auc(positive, scores, np.ones((1, 3))) == [0.5]
