"""The order in which records are trained on: a pure function, so that a loader's whole state is one integer."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...schema.errors import DatasetError, UsageError
from .mixture import Mixture, shares, whole_shares
from .passes import Passes


class SampleRef(NamedTuple):
    """A record: the number of its dataset among those of the plan, and its own number in that dataset's index."""

    dataset: int
    record: int


class ShardNeed(NamedTuple):
    """A shard that is going to be read: in which optimizer steps first and last, until its dataset's next pass.

    Args:
        dataset: number of its dataset among those of the plan.
        shard: its number among the dataset's shards.
        first: the first step that shows a record of it.
        last: the last one; after it the shard may be thrown away.
    """

    dataset: int
    shard: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Stream:
    """One dataset, as the plan sees it.

    Args:
        records: number of records in its index.
        shards: records in each of its shards, in the order of the index; empty where there are none.
        kept: the records that are shown, ascending; None for all of them.
        weight: its share of the samples, beside the other datasets' weights; None in all of them for the number of
            records that are shown.
        shards_per_block: how many shards are mixed with one another at most, and so needed at a time.
    """

    records: int
    shards: Sequence[int] = ()
    kept: npt.NDArray[np.int64] | None = None
    weight: Fraction | int | None = None
    shards_per_block: int = 8


class Plan:
    """An endless sequence of samples; optimizer step `s` is `[s * batch_size, (s + 1) * batch_size)` of it.

    It follows from its arguments alone: not from the number of ranks, workers or micro-batches, nor from where one
    begins to ask. No record is dropped or shown twice within a pass over its dataset, for a step may reach across the
    end of it. A permutation of all that is drawn from at once (a dataset, or a block of shards) is the most that any
    step takes to find.

    Args:
        streams: the datasets.
        batch_size: samples in an optimizer step, at least 1.
        seed: of all orders, at least 0.

    Raises:
        DatasetError: a dataset has no records to show.
        UsageError: weights that cannot be kept, or that some datasets have and some have not.
    """

    def __init__(self, streams: Sequence[Stream], batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise UsageError(f"a batch of {batch_size} records; expected at least 1")
        self.batch_size = batch_size
        self._sharded = [number for number, stream in enumerate(streams) if stream.shards]
        self._passes = [
            Passes(
                number,
                np.array(stream.shards or [stream.records], dtype=np.int64),
                stream.kept,
                stream.shards_per_block,
                seed,
            )
            for number, stream in enumerate(streams)
        ]
        lengths = [each.length for each in self._passes]
        if not lengths or not min(lengths):
            hint = "leave it out, or allow more tokens"
            raise DatasetError(f"no records to train on in one of the datasets, or all of them too long; {hint}")
        weights = [Fraction(stream.weight) for stream in streams if stream.weight is not None]
        if weights and len(weights) < len(streams):
            raise UsageError("some datasets have a weight and some have none: give one to each, or to none")
        self._mixture = Mixture(shares(weights) if weights else whole_shares(lengths), seed)
        self.epoch = sum(lengths)
        """Samples in an epoch: as many as there are records to show. Without weights, each of them once."""

    def steps(self, epochs: float) -> int:
        """Return the number of optimizer steps that show at least `epochs` times as many samples as an epoch has.

        Raises:
            UsageError: `epochs` is not a number.
        """
        if not math.isfinite(epochs):
            raise UsageError(f"{epochs} epochs; expected a number")
        # As written: 0.7 epochs of 10 records are 7 of them, not the 8 that binary fractions would round up to.
        return math.ceil(Fraction(repr(epochs)) * self.epoch / self.batch_size)

    def step(self, number: int) -> list[SampleRef]:
        """Return the samples of one optimizer step, counted from 0."""
        datasets, turns = self._mixture.draw(number * self.batch_size, self.batch_size)
        records = np.empty_like(turns)
        for dataset in np.unique(datasets):
            # A dataset's turns follow one another, whatever lies between them.
            mine = datasets == dataset
            records[mine] = self._passes[dataset].records(int(turns[mine][0]), int(mine.sum()))
        return [SampleRef(int(dataset), int(record)) for dataset, record in zip(datasets, records, strict=True)]

    def shards_from(self, step: int) -> Iterator[ShardNeed]:
        """Yield the shards in the order in which they are first needed from a step on, without end.

        Those that the step itself reads come first (their `first` may lie before it). A shard comes again only in the
        next pass over its dataset, so whoever fetches them in this order, keeps those whose `last` is not over, and
        stays at most some of them ahead, fetches each once a pass. Nothing is yielded where no dataset has shards.
        """
        drawn = self._mixture.drawn(step * self.batch_size)
        needs = [self._needs(dataset, drawn[dataset]) for dataset in self._sharded]
        return (need for _, need in heapq.merge(*needs))

    def _needs(self, dataset: int, turn: int) -> Iterator[tuple[int, ShardNeed]]:
        for shard, first, last in self._passes[dataset].shards(turn):
            begin, end = (self._mixture.position(dataset, each) for each in (first, last))
            yield begin, ShardNeed(dataset, shard, begin // self.batch_size, end // self.batch_size)
