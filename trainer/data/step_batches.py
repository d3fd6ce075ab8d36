"""The micro-batches of a run for one rank, step after step, with everything that reads ahead of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..config import TrainConfig
from ..processes import Processes
from .assign import Assignment, Budget, assign, assign_by_budget
from .collate import PackedCollator
from .cost_model import sample_cost, strategy_passes
from .device_batches import on_device
from .loader import MicroBatch, RankSteps, micro_batches, opened
from .plan import Plan, SampleRef
from .read_ahead import ReadAhead
from .samples import SampleSource
from .sources import shard_cache
from .steady_folder import SteadyFolder
from .training_data import MeasuredData

if TYPE_CHECKING:
    from ..phi3v import Phi3VConfig, Phi3VProcessor


def assigner(
    data: MeasuredData, model: Phi3VConfig, config: TrainConfig, ranks: int, budget: Budget | None
) -> Callable[[Sequence[SampleRef]], Assignment]:
    """Return what spreads the samples of a step over ranks and micro-batches, by what the strategy makes them cost.

    Args:
        data: knows the samples' sizes.
        model: for its shapes.
        config: the run's strategy, and its number of micro-batches where that is fixed.
        ranks: how many processes there are.
        budget: what a micro-batch holds; None with a fixed number of micro-batches.
    """
    passes = strategy_passes(config)

    def spread(samples: Sequence[SampleRef]) -> Assignment:
        size = data.sizes(samples)
        costs = sample_cost(size.tokens, size.supervised, size.crops, model, passes).tolist()
        if budget is None:
            return assign(costs, ranks, config.accumulate or 1)
        return assign_by_budget(costs, size.tokens.tolist(), size.crops.tolist(), ranks, budget)

    return spread


class StepBatches:
    """The micro-batches of one rank. A context manager, for worker processes and threads stand behind it.

    Args:
        data: the records.
        plan: the order of the samples.
        steps: the optimizer steps to take.
        spread: see `assigner`.
        processor: the model's own.
        config: the run's.
        processes: those that train.
    """

    def __init__(
        self,
        data: MeasuredData,
        plan: Plan,
        steps: range,
        spread: Callable[[Sequence[SampleRef]], Assignment],
        processor: Phi3VProcessor,
        config: TrainConfig,
        processes: Processes,
    ) -> None:
        self._indexes = data.data.indexes
        self._plan = plan
        self._config = config
        self._processes = processes
        self._steps = RankSteps(plan, spread, steps, processes.rank)
        sources = [SampleSource(index, processor, config.data.exact_pixels) for index in self._indexes]
        collator = PackedCollator(processor.tokenizer.pad_token_id, processor.image_token_id)
        workers = processes.loaders() if config.data.workers is None else config.data.workers
        self._loader = micro_batches(self._steps, sources, collator, workers)
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> StepBatches:
        # The workers are forked before the thread that reads ahead is there.
        loaded = opened(iter(self._loader))
        ahead = self._opened.enter_context(self._read_ahead(self._steps.steps.start))
        self._batches = on_device(self._announced(loaded, ahead), self._processes.device)
        return self

    def __exit__(self, *_: object) -> None:
        # The batches refer to this object: without this, the workers would live until a garbage collection.
        self._batches = iter(())
        self._opened.close()

    def of_step(self, step: int) -> Iterator[tuple[MicroBatch, bool]]:
        """Yield the micro-batches of the next step, each with whether it is the step's last."""
        count = self._steps.micro_batches(step)
        for number, batch in enumerate(itertools.islice(self._batches, count), 1):
            yield batch, number == count

    def _announced(self, batches: Iterator[MicroBatch], ahead: ReadAhead | None) -> Iterator[MicroBatch]:
        """Have the shards of each step there before it is read."""
        for step in self._steps.steps:
            if ahead is not None:
                ahead.advance(step)
            yield from itertools.islice(batches, self._steps.micro_batches(step))

    @contextlib.contextmanager
    def _read_ahead(self, step: int) -> Iterator[ReadAhead | None]:
        """Have one process of each node fetch the shards that are needed next."""
        of_dataset = [
            (index.dataset.folder, index.shards)
            if isinstance(index.dataset.folder, SteadyFolder) and index.shards
            else None
            for index in self._indexes
        ]
        if self._processes.local_rank or not any(of_dataset):
            yield None
            return
        budget = shard_cache(self._config.data).limit - sum(
            index.dataset.folder.size(index.files[0])
            for index in self._indexes
            if isinstance(index.dataset.folder, SteadyFolder) and not index.shards
        )
        with ReadAhead(self._plan.shards_from(step), of_dataset, budget) as ahead:
            yield ahead
