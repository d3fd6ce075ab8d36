from __future__ import annotations

import operator
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import colour_records, write_dataset

from phi3v_data.schema.errors import RunError
from phi3v_data.schema.index import RecordIndex
from phi3v_data.trainer.data.assign import Assignment, assign
from phi3v_data.trainer.data.collate import PackedCollator
from phi3v_data.trainer.data.loader import MicroBatch, RankSteps, micro_batches, opened
from phi3v_data.trainer.data.plan import Plan, SampleRef, Stream
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.phi3v.tiny import tiny_processor

RECORDS, BATCH = 7, 3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SampleSource:
    root: Path = tmp_path_factory.mktemp("loader")
    dataset = write_dataset(root, {"train": colour_records("train", RECORDS)})
    return SampleSource(RecordIndex(dataset, "train"), tiny_processor())


def steps(first: int, end: int, rank: int = 0, ranks: int = 1, micro_batches: int = 1) -> RankSteps:
    def evenly(samples: Sequence[SampleRef]) -> Assignment:
        return assign([1.0] * len(samples), ranks, micro_batches)

    return RankSteps(Plan([Stream(RECORDS)], BATCH, seed=0), evenly, range(first, end), rank)


def load(source: SampleSource, of: RankSteps, workers: int = 0) -> list[MicroBatch]:
    return list(opened(micro_batches(of, [source], PackedCollator(0, 264), workers)))


@pytest.mark.parametrize(("ranks", "count"), [(1, 1), (2, 1), (2, 3), (5, 1)])
def test_every_rank_has_as_many_micro_batches_and_together_they_are_the_step(
    source: SampleSource, ranks: int, count: int
) -> None:
    of_ranks = [load(source, steps(0, 4, rank, ranks, count)) for rank in range(ranks)]
    assert {len(of_rank) for of_rank in of_ranks} == {4 * count}
    plan = Plan([Stream(RECORDS)], BATCH, seed=0)
    for step in range(4):
        shown = [each for rank in of_ranks for batch in rank[step * count :][:count] for each in batch.ids]
        assert sorted(shown) == [(place, f"train-{ref.record}") for place, ref in enumerate(plan.step(step))]


def test_a_micro_batch_without_samples_is_one_unsupervised_token(source: SampleSource) -> None:
    empty = [batch for batch in load(source, steps(0, 1, rank=0, ranks=1, micro_batches=5)) if not batch.ids]
    assert len(empty) == 2
    for batch in empty:
        assert batch.inputs["input_ids"].shape == (1, 1)
        assert not len(batch.inputs["targets"])
        assert "pixel_values" not in batch.inputs


def test_from_any_step_on_the_batches_are_those_that_follow_it(source: SampleSource) -> None:
    whole, rest = load(source, steps(0, 6)), load(source, steps(4, 6))
    assert [batch.ids for batch in rest] == [batch.ids for batch in whole[4:]]
    for one, other in zip(rest, whole[4:], strict=True):
        for name, value in one.inputs.items():
            same = torch.equal if isinstance(value, torch.Tensor) else operator.eq
            assert same(value, other.inputs[name]), name


def test_workers_load_the_same_batches_with_one_thread_each(source: SampleSource) -> None:
    class Threads:
        """Says in the ids how many threads the process that collates may use."""

        def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
            import cv2

            return {"threads": torch.tensor([torch.get_num_threads(), cv2.getNumThreads()])}

    here, there = load(source, steps(0, 4)), load(source, steps(0, 4), workers=2)
    assert [batch.ids for batch in there] == [batch.ids for batch in here]
    threads = opened(micro_batches(steps(0, 2), [source], Threads(), workers=1))
    assert {tuple(batch.inputs["threads"].tolist()) for batch in threads} == {(1, 1)}


def test_a_worker_that_is_killed_ends_the_run_in_one_line(source: SampleSource) -> None:
    class Dying(PackedCollator):
        def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
            os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(samples)

    batches = micro_batches(steps(0, 2), [source], Dying(0, 264), workers=1)
    with pytest.raises(RunError, match=r"a worker that loads images exited \(.*\); .*--set data\.workers"):
        list(opened(batches))


def test_loading_draws_nothing_from_the_generator_that_dropout_draws_from(source: SampleSource) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load(source, steps(0, 2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_stayed_away_is_said_as_it_was_wherever_it_was_missed(source: SampleSource, workers: int) -> None:
    class Away(SampleSource):
        def __getitem__(self, number: int) -> Sample:
            raise RunError("s3://bucket/x.tar: not reachable in 10 attempts over 243 s")

    batches = micro_batches(steps(0, 1), [Away(source.index, source.processor)], PackedCollator(0, 264), workers)
    with pytest.raises(RunError) as ended:
        list(opened(batches))
    assert str(ended.value) == "s3://bucket/x.tar: not reachable in 10 attempts over 243 s"
