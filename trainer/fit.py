"""The training itself: the plan's micro-batches through transformers' Trainer, from a step on."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch.utils.tensorboard import SummaryWriter
from transformers.integrations.integration_utils import TensorBoardCallback

from .checkpoints import DataState, complete_checkpoint, keep_newest, read_state
from .config import TrainConfig
from .data.bad_samples import BadSample, BadSamples
from .data.collate import PackedCollator
from .data.loader import MicroBatch, RankSteps, micro_batches, opened
from .data.plan import Plan
from .data.read_ahead import ReadAhead
from .data.samples import SampleSource
from .data.sources import shard_cache
from .data.steady_folder import SteadyFolder
from .data.training_data import MeasuredData
from .history import HistoryCallback
from .planned_trainer import CheckpointCallback, PlannedTrainer, training_arguments
from .processes import Processes
from .run_folder import RunFolder, append_row
from .run_plan import RunPlan

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM, Phi3VProcessor

__all__ = ["Fit"]


@dataclass(frozen=True)
class Fit:
    """Everything that training needs.

    Args:
        config: the run's.
        data: what is trained on.
        run: how many steps.
        folder: where losses, checkpoints and the names of bad samples go.
        processes: those that train.
        say: is told what goes on.
    """

    config: TrainConfig
    data: MeasuredData
    run: RunPlan
    folder: RunFolder
    processes: Processes
    say: Callable[[str], None]

    def start(self, checkpoint: Path | None) -> DataState:
        """Return where in the data the run begins.

        Raises:
            UsageError: the checkpoint is of another order.
        """
        state = self._state(0, BadSamples())
        if checkpoint is None:
            return state
        found = read_state(checkpoint)
        found.check(state)
        return found

    def _state(self, step: int, bad: BadSamples) -> DataState:
        weights = [None if source.weight is None else float(source.weight) for source in self.data.data.sources]
        return DataState(
            step=step,
            seed=self.config.seed,
            batch_size=self.config.batch_size,
            data=self.data.digest,
            weights=weights,
            bad_samples=bad,
        )

    def __call__(
        self,
        model: Phi3VForCausalLM,
        processor: Phi3VProcessor,
        plan: Plan,
        start: DataState,
        checkpoint: Path | None,
    ) -> BadSamples:
        """Train.

        Args:
            model: is changed in place.
            processor: the model's own.
            plan: the order of the samples.
            start: where to begin.
            checkpoint: what was made there; None at the very beginning.

        Returns:
            The samples that could not be read.

        Raises:
            RunError: too many samples in a row could not be read, or the machine or the network failed.
        """
        bad = start.bad_samples
        with self._batches(model, processor, plan, start.step) as batches:
            trainer = PlannedTrainer(
                batches,
                self.processes,
                processor,
                lambda step, shown, unread: self._note(step, shown, unread, bad),
                model=model,
                args=training_arguments(
                    self.config,
                    self.folder.path,
                    steps=self.run.steps,
                    warmup_steps=self.run.warmup_steps,
                    processes=self.processes,
                ),
                callbacks=[CheckpointCallback(self.processes, lambda path, step: self._complete(path, step, bad))],
            )
            if self.processes.first:
                trainer.add_callback(HistoryCallback(self.folder.history, self.run.steps, self.say))
                writer = SummaryWriter(str(self.folder.logs), purge_step=start.step or None)
                trainer.add_callback(TensorBoardCallback(writer))
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return bad

    @contextlib.contextmanager
    def _batches(
        self, model: Phi3VForCausalLM, processor: Phi3VProcessor, plan: Plan, step: int
    ) -> Iterator[Iterator[MicroBatch]]:
        config, processes = self.config, self.processes
        steps = RankSteps(
            plan,
            self.data.pricing(model.config),
            range(step, self.run.steps),
            processes.rank,
            processes.world,
            config.pieces(processes.world),
        )
        sources = [SampleSource(index, processor, config.data.exact_pixels) for index in self.data.data.indexes]
        collator = PackedCollator(processor.tokenizer.pad_token_id, processor.image_token_id)
        # The workers are forked before the thread that reads ahead is there.
        workers = processes.loaders() if config.data.workers is None else config.data.workers
        batches = iter(micro_batches(steps, sources, collator, workers))
        with self._read_ahead(plan, step) as ahead:
            yield opened(_announced(batches, ahead, steps))

    @contextlib.contextmanager
    def _read_ahead(self, plan: Plan, step: int) -> Iterator[ReadAhead | None]:
        """Have one process of each node fetch the shards that are needed next."""
        of_dataset = [
            (index.dataset.folder, index.shards)
            if isinstance(index.dataset.folder, SteadyFolder) and index.shards
            else None
            for index in self.data.data.indexes
        ]
        if self.processes.local_rank or not any(of_dataset):
            yield None
            return
        budget = shard_cache(self.config.data).limit - sum(
            index.dataset.folder.size(index.files[0])
            for index in self.data.data.indexes
            if isinstance(index.dataset.folder, SteadyFolder) and not index.shards
        )
        with ReadAhead(plan.shards_from(step), of_dataset, budget) as ahead:
            yield ahead

    def _note(self, step: int, shown: list[tuple[int, str]], unread: list[BadSample], bad: BadSamples) -> None:
        if self.config.data.trace:
            path = self.folder.trace(self.processes.rank)
            path.parent.mkdir(exist_ok=True)
            shown = sorted(shown)
            row = {"step": step, "places": [place for place, _ in shown], "ids": [identity for _, identity in shown]}
            append_row(path, row)
        for sample in unread if self.processes.first else []:
            append_row(self.folder.bad_samples, {"step": step, **sample._asdict()})
            self.say(f"step {step + 1}: sample {sample.id} cannot be read and is left out ({sample.reason})")
        bad.add(self.config.batch_size, unread, self.config.data.bad_samples_in_a_row)

    def _complete(self, checkpoint: Path, step: int, bad: BadSamples) -> None:
        complete_checkpoint(checkpoint, self._state(step, bad))
        keep_newest(self.folder.path, self.config.keep_checkpoints)


def _announced(batches: Iterator[MicroBatch], ahead: ReadAhead | None, steps: RankSteps) -> Iterator[MicroBatch]:
    """Have the shards of each step there before it is read."""
    for step in steps.steps:
        if ahead is not None:
            ahead.advance(step)
        yield from itertools.islice(batches, steps.pieces)
