"""From the plan to one rank's packed micro-batches; the loader's whole state is the number of the step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from ...schema.errors import DatasetError, Phi3VDataError, RunError
from ...storage.outage import one_line, outage
from .bad_samples import BadSample
from .deal import deal
from .plan import Plan, SampleRef
from .samples import Sample, SampleSource

__all__ = ["Collator", "MicroBatch", "RankSteps", "micro_batches", "opened"]

Collator = Callable[[Sequence[Sample]], dict[str, Any]]


class _Wanted(NamedTuple):
    """A sample that a micro-batch is to hold: its place in the optimizer step, and which it is."""

    place: int
    ref: SampleRef


class _Read(NamedTuple):
    wanted: _Wanted
    id: str
    sample: Sample | None
    fault: str
    fatal: bool


class MicroBatch(NamedTuple):
    """What one forward pass takes, and what is in it.

    Args:
        inputs: of the model; of one masked token where there is no sample.
        ids: the samples in it, as (place in the step, record id).
        bad: the samples that could not be read and are not in it.
        trouble: why the run cannot go on; empty if it can. Errors do not travel well between processes.
    """

    inputs: dict[str, Any]
    ids: list[tuple[int, str]]
    bad: list[BadSample]
    trouble: str


@dataclass(frozen=True)
class RankSteps:
    """The micro-batches of one rank, step after step: what a DataLoader takes as its batch sampler.

    Args:
        plan: the order of all samples.
        costs: returns what samples of the plan cost, for a fair deal.
        steps: the optimizer steps to go.
        rank: which of the ranks this is.
        ranks: how many there are.
        pieces: micro-batches a rank in a step.
    """

    plan: Plan
    costs: Callable[[Sequence[SampleRef]], Sequence[float]]
    steps: range
    rank: int
    ranks: int
    pieces: int

    def __iter__(self) -> Iterator[list[_Wanted]]:
        for number in self.steps:
            samples = self.plan.step(number)
            for places in deal(self.costs(samples), self.ranks, self.pieces)[self.rank]:
                yield [_Wanted(place, samples[place]) for place in places]


class _Samples(Dataset[_Read]):
    """The samples of all datasets of a plan; what cannot be read comes as a reason, not as an error."""

    def __init__(self, sources: Sequence[SampleSource]) -> None:
        self._sources = sources

    def __getitem__(self, wanted: _Wanted) -> _Read:
        source, number = self._sources[wanted.ref.dataset], wanted.ref.record
        (identity,) = source.index.ids([number])
        try:
            return _Read(wanted, identity, source[number], "", fatal=False)
        except (Phi3VDataError, OSError, MemoryError) as error:
            # A store that was away for too long, a full disk: nothing the sample can be blamed for.
            trouble = None if isinstance(error, RunError) else outage(error)
            if isinstance(error, DatasetError) and trouble is None:
                return _Read(wanted, identity, None, str(error), fatal=False)
            if not isinstance(error, Phi3VDataError) or trouble is not None:
                trouble = f"{trouble or one_line(error)}; mend it, and give the same command again"
            return _Read(wanted, identity, None, trouble or str(error), fatal=True)


@dataclass(frozen=True)
class _Collate:
    collator: Collator

    def __call__(self, read: Iterable[_Read]) -> MicroBatch:
        read = list(read)
        there = [each for each in read if each.sample is not None]
        return MicroBatch(
            self.collator([each.sample for each in there if each.sample is not None]),
            [(each.wanted.place, each.id) for each in there],
            [BadSample(each.wanted.place, each.id, each.fault) for each in read if each.fault and not each.fatal],
            next((each.fault for each in read if each.fatal), ""),
        )


def micro_batches(
    steps: RankSteps, sources: Sequence[SampleSource], collator: Collator, workers: int
) -> DataLoader[_Read]:
    """Make the loader of one rank: `steps.pieces` `MicroBatch`es for each optimizer step.

    Args:
        steps: which micro-batches.
        sources: the samples of each dataset of the plan.
        collator: makes a model's inputs from samples, also from none.
        workers: processes that read ahead; 0 reads here.
    """
    if workers:
        # Forked after the tokenizer has been used here, it would warn; each worker is one thread anyway.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return DataLoader(
        _Samples(sources),
        batch_sampler=steps,
        collate_fn=_Collate(collator),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_leave_interrupts_alone if workers else None,
        # Its own, or starting workers would draw from the generator that dropout draws from.
        generator=torch.Generator(),
    )


def _leave_interrupts_alone(worker: int) -> None:
    # Ctrl-C reaches the whole group; the process that trains says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def opened(batches: Iterable[Any]) -> Iterator[MicroBatch]:
    """Yield a loader's micro-batches.

    Raises:
        RunError: something is wrong that is not a sample's fault, or a process of the loader died.
    """
    iterator = iter(batches)
    while True:
        try:
            batch: MicroBatch = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            hint = "if memory ran out, use fewer of them: --set data.workers"
            raise RunError(f"a process that loads images died ({str(error).partition(' It is')[0]}); {hint}") from error
        if batch.trouble:
            raise RunError(batch.trouble)
        yield batch
