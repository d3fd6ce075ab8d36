from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.errors import DatasetError, UsageError
from phi3v_data.trainer.data.plan import Plan, SampleRef, ShardNeed, Stream

sizes = st.integers(min_value=1, max_value=40)
seeds = st.integers(min_value=0, max_value=9)


def shown(plan: Plan, steps: int) -> list[SampleRef]:
    return [sample for step in range(steps) for sample in plan.step(step)]


@given(records=sizes, batch_size=sizes, seed=seeds, epochs=st.integers(1, 4))
def test_every_epoch_shows_every_record_once_also_across_its_end(
    records: int, batch_size: int, seed: int, epochs: int
) -> None:
    plan = Plan([Stream(records)], batch_size, seed)
    samples = shown(plan, plan.steps(epochs))
    for epoch in range(epochs):
        part = samples[epoch * records : (epoch + 1) * records]
        assert Counter(part) == Counter(SampleRef(0, record) for record in range(records))


@given(st.lists(sizes, min_size=1, max_size=4), sizes, seeds)
def test_without_weights_an_epoch_shows_each_record_of_every_dataset_once(
    records: list[int], batch_size: int, seed: int
) -> None:
    plan = Plan([Stream(each) for each in records], batch_size, seed)
    samples = shown(plan, plan.steps(2))
    everything = Counter(SampleRef(number, record) for number, each in enumerate(records) for record in range(each))
    assert Counter(samples[: plan.epoch]) == everything
    assert Counter(samples[plan.epoch : 2 * plan.epoch]) == everything


@given(st.lists(st.tuples(sizes, st.integers(1, 5)), min_size=2, max_size=4), sizes, seeds)
def test_weights_hold_over_every_cycle_and_each_pass_over_a_dataset_shows_it_once(
    datasets: list[tuple[int, int]], batch_size: int, seed: int
) -> None:
    plan = Plan([Stream(records, weight=weight) for records, weight in datasets], batch_size, seed)
    samples = shown(plan, 60 // batch_size + 3)
    cycle = sum(weight for _, weight in datasets)
    for first in range(0, len(samples) - cycle, cycle):
        counts = Counter(sample.dataset for sample in samples[first : first + cycle])
        assert counts == {number: weight for number, (_, weight) in enumerate(datasets)}
    for number, (records, _) in enumerate(datasets):
        mine = [sample.record for sample in samples if sample.dataset == number]
        for first in range(0, len(mine) - records + 1, records):
            assert sorted(mine[first : first + records]) == list(range(records))


shard_lists = st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any)


@given(shard_lists, st.integers(1, 4), sizes, seeds)
def test_records_in_shards_come_once_a_pass_and_block_by_block(
    shards: list[int], per_block: int, batch_size: int, seed: int
) -> None:
    plan = Plan([Stream(sum(shards), shards=shards, shards_per_block=per_block)], batch_size, seed)
    of_record = np.repeat(np.arange(len(shards)), shards)
    samples = shown(plan, plan.steps(2))
    for epoch in range(2):
        part = [sample.record for sample in samples[epoch * plan.epoch : (epoch + 1) * plan.epoch]]
        assert sorted(part) == list(range(sum(shards)))
        # While one block lasts, no more shards are open than make a block.
        seen = [int(of_record[record]) for record in part]
        for place in range(len(seen)):
            still_open = set(seen[: place + 1]) & set(seen[place:])
            assert len(still_open) <= per_block


@given(shard_lists, shard_lists, st.integers(1, 3), st.integers(1, 9), seeds, st.integers(0, 30))
def test_the_shards_that_are_announced_from_any_step_on_are_those_that_the_steps_read(
    first: list[int], second: list[int], per_block: int, batch_size: int, seed: int, step: int
) -> None:
    shards = [first, second]
    streams = [Stream(sum(each), shards=each, shards_per_block=per_block) for each in shards]
    plan = Plan(streams, batch_size, seed)
    holders = [np.repeat(np.arange(len(each)), each) for each in shards]
    announced: list[ShardNeed] = []
    needs = plan.shards_from(step)
    while not announced or announced[-1].first <= step + 8:
        announced.append(next(needs))
    assert [need.first for need in announced] == sorted(need.first for need in announced)
    for number in range(step, step + 8):
        read = {(dataset, int(holders[dataset][record])) for dataset, record in plan.step(number)}
        open_now = {(need.dataset, need.shard) for need in announced if need.first <= number <= need.last}
        assert read <= open_now
        ends = {(need.dataset, need.shard) for need in announced if number in (need.first, need.last)}
        assert ends <= read


def test_blocks_are_of_about_one_size_so_that_the_last_is_mixed_as_well() -> None:
    plan = Plan([Stream(90, shards=[10] * 9, shards_per_block=8)], 1, seed=0)
    shards = [plan.step(step)[0].record // 10 for step in range(90)]
    assert sorted((len(set(shards[:40])), len(set(shards[40:])))) == [4, 5]


def test_without_shards_none_are_announced() -> None:
    assert list(Plan([Stream(5)], 2, 0).shards_from(3)) == []


@given(shard_lists, st.data())
def test_records_that_are_not_kept_never_come_and_the_others_once(shards: list[int], data: st.DataObject) -> None:
    kept = sorted(data.draw(st.sets(st.integers(0, sum(shards) - 1), min_size=1)))
    for of_stream in (shards, []):
        plan = Plan([Stream(sum(shards), shards=of_stream, kept=np.array(kept), shards_per_block=2)], 3, 5)
        samples = shown(plan, plan.steps(3))
        for epoch in range(3):
            part = samples[epoch * len(kept) : (epoch + 1) * len(kept)]
            assert sorted(sample.record for sample in part) == kept


def test_a_step_is_the_same_whether_or_not_others_were_asked_for_before() -> None:
    def plan() -> Plan:
        return Plan([Stream(7), Stream(9, shards=[4, 5], shards_per_block=1)], 3, seed=5)

    asked_in_order = plan()
    for number in range(40):
        assert asked_in_order.step(number) == plan().step(number)


def test_another_seed_another_epoch_and_another_dataset_have_another_order() -> None:
    plan = Plan([Stream(50), Stream(50)], 100, seed=0)
    orders = [
        tuple(sample.record for sample in of.step(step) if sample.dataset == dataset)
        for of in (plan, Plan([Stream(50), Stream(50)], 100, seed=1))
        for step in (0, 1)
        for dataset in (0, 1)
    ]
    assert len(set(orders)) == 8


def test_the_order_is_the_one_that_every_release_gives() -> None:
    streams = [Stream(5, weight=2), Stream(6, shards=[2, 2, 2], shards_per_block=2, weight=Fraction(1))]
    steps = [Plan(streams, 4, seed=3).step(number) for number in (0, 1000)]
    assert [[tuple(sample) for sample in step] for step in steps] == [
        [(0, 3), (1, 2), (0, 4), (0, 1)],
        [(0, 4), (0, 0), (0, 2), (0, 3)],
    ]


@pytest.mark.parametrize(("epochs", "steps"), [(1, 4), (0.5, 2), (2, 7), (0.7, 3), (0.6, 2), (0.01, 1)])
def test_steps_round_up_so_that_every_record_is_shown(epochs: float, steps: int) -> None:
    assert Plan([Stream(10)], 3, seed=0).steps(epochs) == steps


def test_epochs_are_taken_as_written_not_as_binary_fractions() -> None:
    assert Plan([Stream(100)], 1, seed=0).steps(0.07) == 7  # 100 * 0.07 is 7.000000000000001


def test_a_batch_larger_than_the_data_shows_records_again_only_after_all_others() -> None:
    (step,) = (Plan([Stream(3)], 7, seed=0).step(number) for number in (0,))
    assert sorted(sample.record for sample in step[:3]) == sorted(sample.record for sample in step[3:6]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("streams", "error", "message"),
    [
        ([Stream(0)], DatasetError, "no records"),
        ([Stream(3), Stream(2, kept=np.array([], dtype=np.int64))], DatasetError, "no records"),
        ([Stream(3, weight=1), Stream(3)], UsageError, "give one to each"),
        ([Stream(3, weight=1), Stream(3, weight=0)], UsageError, "over 0"),
        ([Stream(3, weight=1), Stream(3, weight=Fraction(1, 10**9))], UsageError, "too fine"),
    ],
)
def test_what_cannot_be_planned_is_refused(streams: list[Stream], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Plan(streams, 2, 0)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Plan([Stream(3)], 0, 0)


@pytest.mark.parametrize("epochs", [float("inf"), float("nan")])
def test_epochs_without_end_are_refused(epochs: float) -> None:
    with pytest.raises(UsageError, match="expected a number"):
        Plan([Stream(3)], 2, 0).steps(epochs)
