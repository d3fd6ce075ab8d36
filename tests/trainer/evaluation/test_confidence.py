"""Intervals and tests: how sure a number is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phi3v_data.trainer.evaluation.confidence import mcnemar, mean_interval


def test_an_interval_is_that_of_the_normal_approximation_where_that_holds() -> None:
    values = [1.0] * 300 + [0.0] * 700
    found = mean_interval(values, range(1000), 4000)
    assert found is not None
    half_width = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert found == pytest.approx((0.3 - half_width, 0.3 + half_width), abs=0.004)


def test_answers_of_one_group_are_drawn_together() -> None:
    values = [float(number // 10 % 2) for number in range(200)]
    single = mean_interval(values, range(200), 1000)
    grouped = mean_interval(values, [number // 10 for number in range(200)], 1000)
    assert single is not None
    assert grouped is not None
    # Twenty groups of ten equal answers hold as much as twenty answers: the interval is sqrt(10) times as wide.
    assert (grouped.high - grouped.low) / (single.high - single.low) == pytest.approx(math.sqrt(10), rel=0.15)


def test_the_same_answers_give_the_same_interval_however_they_are_drawn_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).random(50).tolist()
    whole = mean_interval(values, range(50), 200)
    assert mean_interval(values, range(50), 200) == whole
    monkeypatch.setattr("phi3v_data.trainer.evaluation.confidence._WEIGHTS_AT_ONCE", 500)
    assert mean_interval(values, range(50), 200) == whole


@pytest.mark.parametrize(("values", "resamples"), [([1.0], 100), ([], 100), ([1.0, 0.0], 0)])
def test_there_is_no_interval_where_nothing_can_be_drawn(values: list[float], resamples: int) -> None:
    assert mean_interval(values, range(len(values)), resamples) is None


@pytest.mark.parametrize(
    ("fixed", "broken", "p"), [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (10, 0, 2 / 2**10), (7, 1, 2 * 9 / 2**8)]
)
def test_mcnemars_p_value_is_the_binomials(fixed: int, broken: int, p: float) -> None:
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed) == pytest.approx(p)


def test_mcnemar_takes_thousands_of_changes() -> None:
    assert 0 < mcnemar(2000, 1800) < 0.01
