from __future__ import annotations

import pytest

from phi3v_data.trainer.metrics import consistency, normalized, right


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(" Yes. ", "yes"), ("a.b", "a.b"), ("...", ""), ("BabyCrawling", "babycrawling"), ("No .", "no"), ("", "")],
)
def test_white_space_full_stops_and_case_do_not_count(answer: str, expected: str) -> None:
    assert normalized(answer) == expected


def test_any_accepted_answer_is_right_and_no_other() -> None:
    assert right("Six.", ["6", "six"])
    assert not right("seven", ["6", "six"])


def test_consistency_is_the_share_of_groups_that_are_right_throughout() -> None:
    assert consistency([("a", True), ("b", True), ("a", False), ("b", True), ("c", True)]) == 2 / 3


def test_what_has_no_group_or_no_verdict_says_nothing_about_consistency() -> None:
    assert consistency([("a", True), ("", False), ("a", None), ("b", False)]) == 1 / 2
    assert consistency([("", True), ("a", None)]) is None
