"""One fine-tuning run, from a dataset folder to a saved model and its judgement."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from transformers import Trainer, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from ..schema.dataset import Dataset
from ..schema.errors import DatasetError, UsageError
from .checkpoint import load_trainable, save_checkpoint
from .config import TrainConfig
from .data.collate import PackedCollator
from .data.index import RecordIndex
from .data.plan import MicroBatches, Plan, Stream
from .data.samples import Sample, SampleSource
from .evaluate import Evaluation, evaluate, evaluation_split
from .history import HistoryCallback
from .run_folder import RunFolder
from .strategy import apply_strategy

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM, Phi3VProcessor

__all__ = ["RunPlan", "RunResult", "plan_run", "train"]


@dataclass(frozen=True)
class RunPlan:
    """What a run is going to do, known before a model is loaded.

    Args:
        train_split: the split that is trained on.
        records: number of records in it.
        eval_split: the split that is judged on; None for no judgement.
        steps: optimizer steps.
        warmup_steps: how many of them warm the learning rate up.
    """

    train_split: str
    records: int
    eval_split: str | None
    steps: int
    warmup_steps: int


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        losses: the logged training losses, in order.
        before: the judgement before training; None where there is no split for it.
        after: and after.
        trained: number of parameters that were trained.
    """

    losses: list[float]
    before: Evaluation | None
    after: Evaluation | None
    trained: int


def plan_run(config: TrainConfig, dataset: Dataset) -> RunPlan:
    """Work out splits and steps.

    Raises:
        DatasetError: a split that was named, or one to train on, is not there.
    """
    # One JSONL file is its own and only split, whatever its name.
    only = next(iter(dataset.files)) if len(dataset.files) == 1 else None
    train_split = config.data.train_split if config.data.train_split in dataset.files else only
    if train_split is None:
        there = ", ".join(dataset.files)
        wanted = f"no split {config.data.train_split!r} to train on"
        raise DatasetError(f"{dataset.folder.address}: {wanted}; there are: {there}")
    eval_split = evaluation_split(dataset, config.data.eval_split) if config.evaluation.enabled else None
    records = len(RecordIndex(dataset, train_split))
    steps = Plan([Stream(records)], config.batch_size, config.seed).steps(config.epochs)
    warmup = min(config.optimizer.warmup_steps, steps // 10)
    return RunPlan(train_split, records, eval_split, steps, warmup)


def train(
    config: TrainConfig, dataset: Dataset, out: Path, say: Callable[[str], None] = lambda line: None
) -> RunResult:
    """Fine-tune, judge before and after, and save.

    Two runs with one configuration on one machine give the same losses, bit for bit, in float32 on a CPU.

    Args:
        config: everything the run depends on, beside the data.
        dataset: the data.
        out: the run's folder; must be new or empty.
        say: is told what is going on, a line at a time.

    Raises:
        DatasetError: the data cannot be trained on.
        ModelFolderError: the model cannot be loaded.
        OutputError: `out` is taken or cannot be written.
        UsageError: this is one of several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("WORLD_SIZE is over 1: training runs in one process, so start it without torchrun")
    plan = plan_run(config, dataset)
    folder = RunFolder(out)
    folder.claim()
    torch.manual_seed(config.seed)
    model, processor = load_trainable(config)
    if config.model.gradient_checkpointing:
        model.recompute_activations()
    # From here on the folder is a run's; before, a mistyped model leaves it free for the next try.
    folder.describe(config, dataset)
    run = _Run(config, dataset, plan, folder, processor, apply_strategy(model, config), say)
    say(f"model {config.model.name}: {run.trained():,} parameters trained of {run.model.num_parameters():,}")

    before = run.judge("eval_before.json")
    losses = run.fit()
    save_checkpoint(run.model, processor, folder.model)
    after = run.judge("eval_after.json")
    result = RunResult(losses, before, after, run.trained())
    folder.describe(config, dataset, _summary(config, plan, result))
    return result


@dataclass(frozen=True)
class _Run:
    config: TrainConfig
    dataset: Dataset
    plan: RunPlan
    folder: RunFolder
    processor: Phi3VProcessor
    model: Phi3VForCausalLM
    say: Callable[[str], None]

    def trained(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    def judge(self, name: str) -> Evaluation | None:
        split = self.plan.eval_split
        if split is None:
            return None
        judgement = evaluate(self.model, self.processor, self.dataset, split, self.config.evaluation)
        self.folder.write(name, judgement.as_json())
        self.say(f"{name}: accuracy {judgement.accuracy:.3f} on {split} ({judgement.correct} of {judgement.total})")
        return judgement

    def fit(self) -> list[float]:
        history = HistoryCallback(self.folder.history, self.plan.steps, self.say)
        trainer = _PlannedTrainer(
            model=self.model,
            args=self._arguments(),
            callbacks=[history, TensorBoardCallback(SummaryWriter(str(self.folder.logs)))],
        )
        trainer.batches = self._batches()
        trainer.remove_callback(PrinterCallback)  # prints dicts; the history says the same in words
        trainer.train()
        return history.losses

    def _batches(self) -> DataLoader[Sample]:
        config, plan = self.config, self.plan
        order = Plan([Stream(plan.records)], config.batch_size, config.seed)
        return DataLoader(
            SampleSource(RecordIndex(self.dataset, plan.train_split), self.processor),
            batch_sampler=MicroBatches(order, plan.steps, config.micro_batch_size),
            collate_fn=PackedCollator(self.processor.tokenizer.pad_token_id),
            num_workers=config.data.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def _arguments(self) -> TrainingArguments:
        config, optimizer = self.config, self.config.optimizer
        arguments = TrainingArguments(
            output_dir=str(self.folder.path),
            max_steps=self.plan.steps,
            per_device_train_batch_size=config.micro_batch_size,
            gradient_accumulation_steps=config.pieces,
            learning_rate=config.learning_rate,
            weight_decay=optimizer.weight_decay,
            adam_beta1=optimizer.beta1,
            adam_beta2=optimizer.beta2,
            adam_epsilon=optimizer.eps,
            max_grad_norm=optimizer.max_grad_norm,
            lr_scheduler_type="linear",
            warmup_steps=self.plan.warmup_steps,
            bf16=config.model.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            seed=config.seed,
            logging_steps=config.log_every,
            logging_first_step=True,
            disable_tqdm=True,
            report_to="none",
            save_strategy="no",
            remove_unused_columns=False,
            label_names=["labels"],
        )
        # With several GPUs in sight, Trainer would wrap the model in DataParallel, which cuts a batch's rows and its
        # pictures apart in different places.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        return arguments


class _PlannedTrainer(Trainer):
    """The Trainer, with batches in the plan's order instead of a sampler's."""

    batches: DataLoader[Sample]

    def get_train_dataloader(self) -> DataLoader[Sample]:
        return self.batches


def _summary(config: TrainConfig, plan: RunPlan, result: RunResult) -> dict[str, Any]:
    return {
        "steps": plan.steps,
        "warmup_steps": plan.warmup_steps,
        "learning_rate": config.learning_rate,
        "parameters_trained": result.trained,
        "last_loss": result.losses[-1],
        "accuracy_before": result.before.accuracy if result.before else None,
        "accuracy_after": result.after.accuracy if result.after else None,
    }
