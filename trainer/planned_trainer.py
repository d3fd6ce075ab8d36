"""transformers' Trainer, with its batches in the order of a plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from .config import TrainConfig
from .data.bad_samples import BadSample
from .data.loader import MicroBatch
from .model_folder import save_model
from .processes import Processes

if TYPE_CHECKING:
    from .phi3v import Phi3VProcessor

__all__ = ["CheckpointCallback", "PlannedTrainer", "StepNote", "training_arguments"]

# Told of each optimizer step before it is taken: its number, what this rank shows of it, as (place, id), and the bad
# samples of all ranks.
StepNote = Callable[[int, list[tuple[int, str]], list[BadSample]], None]


def training_arguments(
    config: TrainConfig, out: Path, *, steps: int, warmup_steps: int, processes: Processes
) -> TrainingArguments:
    """Say the configuration in the Trainer's words.

    Args:
        config: the run's.
        out: where checkpoints go.
        steps: optimizer steps.
        warmup_steps: how many of them warm the learning rate up.
        processes: those that train.
    """
    optimizer = config.optimizer
    on_cpu = not torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        gradient_accumulation_steps=config.pieces(processes.world),
        learning_rate=config.learning_rate,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.beta1,
        adam_beta2=optimizer.beta2,
        adam_epsilon=optimizer.eps,
        max_grad_norm=optimizer.max_grad_norm,
        lr_scheduler_type="linear",
        warmup_steps=warmup_steps,
        bf16=config.model.precision == "bf16",
        fp16=config.model.precision == "fp16",
        use_cpu=on_cpu,
        seed=config.seed,
        logging_steps=config.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        save_strategy="steps",
        save_steps=config.save_every,
        # The loader begins at the step.
        ignore_data_skip=True,
        average_tokens_across_devices=True,
        ddp_backend="gloo" if on_cpu and processes.world > 1 else None,
        # Every rank runs every part of the model for every micro-batch.
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    # With several GPUs in sight of one process, Trainer would wrap the model in DataParallel, which cuts a batch's row
    # and its images apart in different places.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


class PlannedTrainer(Trainer):
    """The Trainer, over micro-batches that come in the plan's order and are dealt to this rank already.

    Args:
        batches: from the step that training goes on at.
        processes: those that train.
        processor: is saved beside the model in every checkpoint.
        note: is told of every step.
        more: what the Trainer takes.
    """

    def __init__(
        self,
        batches: Iterable[MicroBatch],
        processes: Processes,
        processor: Phi3VProcessor,
        note: StepNote,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self._batches = batches
        self._processes = processes
        self._processor = processor
        self._note = note
        self.remove_callback(PrinterCallback)  # prints dicts; the history says the same in words

    def get_train_dataloader(self) -> Any:
        """Return the micro-batches, as they are."""
        return self._batches

    def get_batch_samples(
        self, epoch_iterator: Iterator[MicroBatch], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor | int | None]:
        """Take the micro-batches of one step, and count the tokens that all ranks learn from in it."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if not batches:
            return [], None
        learnt = sum(len(batch.inputs["targets"]) for batch in batches)
        bad = [sample for batch in batches for sample in batch.bad]
        counts = self.accelerator.gather(torch.tensor([[learnt, len(bad)]], device=device))
        tokens, bad_everywhere = counts.sum(dim=0)
        if bad_everywhere:
            bad = [sample for of_rank in self._processes.gather(bad) for sample in of_rank]
        self._note(self.state.global_step, [shown for batch in batches for shown in batch.ids], bad)
        # A step of bad samples alone has nothing to learn from, and a loss of nothing.
        return [batch.inputs for batch in batches], tokens.clamp(min=1)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, or its adapters, as a run saves it at its end."""
        if self.args.should_save:
            trained: Any = self.model  # the Trainer's type says that it may have none
            save_model(trained, self._processor, Path(output_dir or str(self.args.output_dir)), torch.float32)


class CheckpointCallback(TrainerCallback):
    """Completes each checkpoint when all ranks have written their part.

    Args:
        processes: those that train.
        complete: is told the checkpoint's folder and the steps done, in the first process.
    """

    def __init__(self, processes: Processes, complete: Callable[[Path, int], None]) -> None:
        self._processes = processes
        self._complete = complete

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log and save as often as it is said now, whatever was said before the checkpoint."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log before each checkpoint, for losses in between are not kept in it, and at the end, when the model is."""
        control.should_log |= control.should_save or state.global_step >= state.max_steps
        control.should_save &= state.global_step < state.max_steps

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Declare the checkpoint complete."""
        self._processes.wait()
        if self._processes.first:
            self._complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", state.global_step)
        self._processes.wait()
