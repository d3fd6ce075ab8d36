from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.trainer.data.plan import MicroBatches, Plan

sizes = st.integers(min_value=1, max_value=40)


@given(records=sizes, batch_size=sizes, seed=st.integers(min_value=0, max_value=9), epochs=st.integers(1, 4))
def test_every_epoch_shows_every_record_once_also_across_its_end(
    records: int, batch_size: int, seed: int, epochs: int
) -> None:
    plan = Plan(records, batch_size, seed)
    shown = [record for step in range(plan.steps(epochs)) for record in plan.step(step)]
    for epoch in range(epochs):
        part = shown[epoch * records : (epoch + 1) * records]
        assert Counter(part) == Counter(range(records))


@given(records=sizes, pieces=st.integers(1, 6), size=st.integers(1, 6), steps=st.integers(0, 5))
def test_micro_batches_are_the_plan_cut_into_pieces(records: int, pieces: int, size: int, steps: int) -> None:
    plan = Plan(records, pieces * size, seed=1)
    batches = list(MicroBatches(plan, steps, size))
    assert [record for batch in batches for record in batch] == [r for s in range(steps) for r in plan.step(s)]
    assert len(batches) == len(MicroBatches(plan, steps, size))
    assert {len(batch) for batch in batches} <= {size}


def test_a_step_is_the_same_whether_or_not_others_were_asked_for_before() -> None:
    asked_in_order = [Plan(7, 3, seed=5).step(number) for number in range(6)]
    assert Plan(7, 3, seed=5).step(5) == asked_in_order[5]


def test_another_seed_and_another_epoch_give_another_order() -> None:
    plan = Plan(50, 50, seed=0)
    assert len({tuple(plan.step(0)), tuple(plan.step(1)), tuple(Plan(50, 50, seed=1).step(0))}) == 3


@pytest.mark.parametrize(("epochs", "steps"), [(1, 4), (0.5, 2), (2, 7)])
def test_steps_round_up_so_that_every_record_is_shown(epochs: float, steps: int) -> None:
    assert Plan(10, 3, seed=0).steps(epochs) == steps
