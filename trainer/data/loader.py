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
from ...schema.prompt import IGNORED
from ...storage.outage import one_line, outage
from .assign import Assignment
from .bad_samples import BadSample
from .plan import Plan, SampleRef
from .samples import Sample, SampleSource

Collator = Callable[[Sequence[Sample]], dict[str, Any]]


class _Wanted(NamedTuple):
    """A sample that a micro-batch is to hold: its place in the optimizer step, and which it is."""

    place: int
    ref: SampleRef


class _Read(NamedTuple):
    wanted: _Wanted
    id: str
    sample: Sample | None
    failure: str
    fatal: bool


class MicroBatch(NamedTuple):
    """The input of one forward pass, and what is in it.

    Args:
        inputs: of the model; of one unsupervised token where there is no sample.
        ids: the samples in it, as (place in the step, record id).
        supervised: tokens with a label.
        bad: the samples that could not be read and are not in it.
        failure: why the run cannot continue; empty if it can. Errors do not travel well between processes.
    """

    inputs: dict[str, Any]
    ids: list[tuple[int, str]]
    supervised: int
    bad: list[BadSample]
    failure: str


@dataclass(frozen=True)
class RankSteps:
    """The micro-batches of one rank, step after step: what a DataLoader takes as its batch sampler.

    Args:
        plan: the order of all samples.
        assign: spreads the samples of a step over ranks and micro-batches; a pure function.
        steps: the optimizer steps to take.
        rank: which of the ranks this is.
    """

    plan: Plan
    assign: Callable[[Sequence[SampleRef]], Assignment]
    steps: range
    rank: int

    def __iter__(self) -> Iterator[list[_Wanted]]:
        for number in self.steps:
            samples = self.plan.step(number)
            for places in self.assign(samples)[self.rank]:
                yield [_Wanted(place, samples[place]) for place in places]

    def micro_batches(self, step: int) -> int:
        """Return the number of micro-batches of a step; the same on every rank."""
        return len(self.assign(self.plan.step(step))[self.rank])


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
            cause = None if isinstance(error, RunError) else outage(error)
            if isinstance(error, DatasetError) and cause is None:
                return _Read(wanted, identity, None, str(error), fatal=False)
            if not isinstance(error, Phi3VDataError) or cause is not None:
                cause = f"{cause or one_line(error)}; fix it and rerun: the run resumes from its last checkpoint"
            return _Read(wanted, identity, None, cause or str(error), fatal=True)


@dataclass(frozen=True)
class _Collate:
    collator: Collator

    def __call__(self, read: Iterable[_Read]) -> MicroBatch:
        read = list(read)
        samples = [each.sample for each in read if each.sample is not None]
        return MicroBatch(
            self.collator(samples),
            [(each.wanted.place, each.id) for each in read if each.sample is not None],
            sum(label != IGNORED for sample in samples for label in sample.text.labels),
            [BadSample(each.wanted.place, each.id, each.failure) for each in read if each.failure and not each.fatal],
            next((each.failure for each in read if each.fatal), ""),
        )


def micro_batches(
    steps: RankSteps, sources: Sequence[SampleSource], collator: Collator, workers: int
) -> DataLoader[_Read]:
    """Make the loader of one rank, which yields a `MicroBatch` for each that `steps` yields.

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
        worker_init_fn=_ignore_interrupts if workers else None,
        # Its own, or starting workers would draw from the generator that dropout draws from.
        generator=torch.Generator(),
    )


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C reaches the whole group; the process that trains handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def opened(batches: Iterable[Any]) -> Iterator[MicroBatch]:
    """Yield a loader's micro-batches.

    Raises:
        RunError: something is wrong that is not a sample's failure, or a process of the loader died.
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
            raise RunError(
                f"a worker that loads images exited ({str(error).partition(' It is')[0]}); {hint}"
            ) from error
        if batch.failure:
            raise RunError(batch.failure)
        yield batch
