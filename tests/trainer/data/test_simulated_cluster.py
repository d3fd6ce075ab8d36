"""A cluster without processes: each rank works out its micro-batches from the plan and the assignment."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi3v_data.trainer.data.assign import assign
from phi3v_data.trainer.data.plan import Plan, SampleRef, Stream


@dataclass(frozen=True)
class Data:
    """What a run is given, and of the samples which cannot be read when their turn comes."""

    streams: Sequence[Stream]
    batch_size: int
    seed: int
    bad: frozenset[SampleRef]

    def plan(self) -> Plan:
        return Plan(self.streams, self.batch_size, self.seed)

    def costs(self, samples: Sequence[SampleRef]) -> list[float]:
        return [float((31 * sample.record + 7 * sample.dataset) % 97 + 1) for sample in samples]


@dataclass(frozen=True)
class Cluster:
    world: int
    workers: int
    micro_batches: int


class Step:
    """What a whole cluster did in one optimizer step."""

    def __init__(self) -> None:
        self.read: dict[int, SampleRef] = {}
        self.lost: dict[int, SampleRef] = {}
        self.passes: list[int] = []

    @property
    def ids(self) -> list[SampleRef]:
        both = {**self.read, **self.lost}
        return [both[place] for place in sorted(both)]


Assign = Callable[[Sequence[float], int, int], list[list[list[int]]]]


def run(data: Data, cluster: Cluster, steps: range, assigning: Assign = assign) -> list[Step]:
    """Run some steps; nothing is carried into them but the number of the first."""
    done = [Step() for _ in steps]
    for rank in range(cluster.world):
        plan = data.plan()  # every process has its own
        batches = [
            (number, part, plan.step(number))
            for number in steps
            for part in assigning(data.costs(plan.step(number)), cluster.world, cluster.micro_batches)[rank]
        ]
        # Worker w prepares each w-th micro-batch; they are taken in turns, as a DataLoader does.
        prepared = [iter(batches[worker :: cluster.workers]) for worker in range(cluster.workers)]
        for step in done:
            step.passes.append(0)
        for worker in itertools.islice(itertools.cycle(range(cluster.workers)), len(batches)):
            number, part, samples = next(prepared[worker])
            step = done[number - steps.start]
            step.passes[-1] += 1
            for place in part:
                kind = step.lost if samples[place] in data.bad else step.read
                assert place not in step.read
                assert place not in step.lost
                kind[place] = samples[place]
    return done


@st.composite
def streams(draw: st.DrawFn, weighted: bool) -> Stream:
    shards = draw(st.none() | st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any))
    records = draw(st.integers(1, 30)) if shards is None else sum(shards)
    kept = draw(st.none() | st.sets(st.integers(0, records - 1), min_size=1).map(sorted))
    return Stream(
        records,
        shards or (),
        None if kept is None else np.array(kept),
        draw(st.integers(1, 4)) if weighted else None,
        draw(st.integers(1, 3)),
    )


@st.composite
def datas(draw: st.DrawFn) -> Data:
    weighted = draw(st.booleans())
    mixed = draw(st.lists(streams(weighted), min_size=1, max_size=3))
    refs = st.builds(SampleRef, st.integers(0, len(mixed) - 1), st.integers(0, 29))
    return Data(mixed, draw(st.integers(1, 20)), draw(st.integers(0, 5)), draw(st.frozensets(refs, max_size=4)))


clusters = st.builds(Cluster, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))


@given(datas(), st.lists(st.tuples(clusters, st.integers(0, 4)), min_size=1, max_size=4))
def test_stopped_anywhere_and_continued_by_any_cluster_the_ids_by_step_are_the_canonical_ones(
    data: Data, runs: list[tuple[Cluster, int]]
) -> None:
    plan, first = data.plan(), 0
    for cluster, length in runs:
        steps = range(first, first + length)
        done = run(data, cluster, steps)
        assert [step.ids for step in done] == [plan.step(number) for number in steps]
        for step in done:
            # Every rank makes as many passes as all others, or they would wait for one another for ever.
            assert step.passes == [cluster.micro_batches] * cluster.world
            assert set(step.lost.values()) == set(step.ids) & data.bad
        first += length


@settings(max_examples=50)
@given(datas(), clusters, clusters, st.integers(1, 8))
def test_over_a_whole_pass_each_record_is_read_once_or_counted_as_bad_though_the_cluster_changes(
    data: Data, before: Cluster, after: Cluster, stop: int
) -> None:
    unweighted = [Stream(each.records, each.shards, each.kept, None, each.shards_per_block) for each in data.streams]
    data = Data(unweighted, data.batch_size, data.seed, data.bad)
    steps = data.plan().steps(1)
    stop = min(stop, steps)
    done = run(data, before, range(stop)) + run(data, after, range(stop, steps))
    shown = [sample for step in done for sample in step.ids][: data.plan().epoch]
    kept = [each.kept if each.kept is not None else range(each.records) for each in data.streams]
    everything = [SampleRef(number, int(record)) for number, records in enumerate(kept) for record in records]
    assert Counter(shown) == Counter(everything)
    lost = {sample for step in done for sample in step.lost.values()}
    assert lost <= data.bad


def test_an_assignment_that_loses_or_doubles_a_sample_is_seen() -> None:
    data, cluster = Data([Stream(10)], 6, 0, frozenset()), Cluster(2, 1, 2)

    def losing(costs: Sequence[float], ranks: int, micro_batches: int) -> list[list[list[int]]]:
        return [[part[:1] for part in rank] for rank in assign(costs, ranks, micro_batches)]

    def doubling(costs: Sequence[float], ranks: int, micro_batches: int) -> list[list[list[int]]]:
        return [assign(costs, ranks, micro_batches)[0]] * ranks

    assert run(data, cluster, range(1), losing)[0].ids != data.plan().step(0)
    with pytest.raises(AssertionError):
        run(data, cluster, range(1), doubling)
