"""One fine-tuning run, from datasets to a saved model and its judgement, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from .checkpoints import keep_newest
from .config import TrainConfig
from .data.bad_samples import BadSamples
from .data.sources import Source, steady
from .data.training_data import TrainingData
from .evaluation import Evaluation, evaluate
from .fit import Fit
from .history import logged_losses
from .model_folder import load_for_evaluation, load_run_processor, load_trainable, save_model
from .precision import dtypes_of
from .processes import Processes
from .resume import Beginning, find_beginning
from .run_folder import LAST_RESULT, RunFolder
from .run_plan import RunPlan, plan_run, run_plan

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM, Phi3VProcessor

__all__ = ["RunPlan", "RunResult", "plan_run", "train"]

_BEFORE, _AFTER = "eval_before.json", "eval_after.json"


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        losses: the logged training losses, in order.
        before: the judgement before training; None where there is no split for it.
        after: and after.
        trained: number of parameters that were trained.
        bad_samples: how many samples could not be read.
    """

    losses: list[float]
    before: Evaluation | None
    after: Evaluation | None
    trained: int
    bad_samples: int


def train(
    config: TrainConfig,
    sources: Sequence[Source],
    out: Path,
    say: Callable[[str], None] = lambda line: None,
    resume: str = "auto",
) -> RunResult:
    """Fine-tune, judge before and after, and save; or go on with a run that ended early.

    Two runs with one configuration on one machine give the same losses, bit for bit, in float32 on a CPU, whether or
    not one of them was killed on the way. Started by torchrun, all processes of it train together.

    Args:
        config: everything the run depends on, beside the data.
        sources: the data; the first dataset is judged on, too.
        out: the run's folder; new, empty, or this run's own.
        say: is told what is going on, a line at a time, in the first process.
        resume: `auto`, `never`, or a checkpoint's path; see `find_beginning`.

    Raises:
        DatasetError: the data cannot be trained on.
        ModelFolderError: the model cannot be loaded, or there is no checkpoint where one was named.
        OutputError: `out` is taken or cannot be written.
        RunError: too many samples in a row could not be read, or the machine or the network failed.
        UsageError: the checkpoint is of another order.
    """
    processes = Processes.meet()
    say = say if processes.first else lambda line: None
    folder = RunFolder(out)
    data = processes.on_node_first(lambda: TrainingData(sources, config.data))
    # What can be wrong with splits is said before the folder is taken.
    split = run_plan(config, data, data.plan(config.batch_size, config.seed)).eval_split
    beginning = processes.by_first(lambda: find_beginning(folder, config, resume))
    if beginning.finished:
        say(f"{out}: this run is finished, its model is in {folder.model}; another --out starts another run")
        processes.part()
        return _result(folder)

    judge = _Judge(config, steady(sources, config.data)[0], split, folder, processes, say)
    if beginning.trained:
        say(f"{out}: all steps are done; what is missing is the judgement of the model in {folder.model}")
        model, processor = load_for_evaluation(_from_folder(config, out))
    else:
        model, processor = _train(config, data, beginning, folder, processes, judge, say)
    judge(model, processor, _AFTER)
    result = processes.by_first(lambda: _result(folder))
    if processes.first:
        folder.describe(config, sources, {**folder.result(), **_accuracies(result)})
    if result.before and result.after and result.before.accuracy is not None and result.after.accuracy is not None:
        say(f"accuracy {result.before.accuracy:.3f} before, {result.after.accuracy:.3f} after")
    if result.bad_samples:
        say(f"{result.bad_samples} samples could not be read and were left out; they are named in {folder.bad_samples}")
    say(f"model in {folder.model}; watch the losses with: tensorboard --logdir {folder.logs}")
    processes.part()
    return result


def _train(
    config: TrainConfig,
    data: TrainingData,
    beginning: Beginning,
    folder: RunFolder,
    processes: Processes,
    judge: _Judge,
    say: Callable[[str], None],
) -> tuple[Phi3VForCausalLM, Phi3VProcessor]:
    """Take all steps that are left, save the model, and write down that it is trained."""
    processor = load_run_processor(config)
    known = beginning.again or beginning.checkpoint is not None
    measured = processes.on_node_first(lambda: data.measure(processor, say, resumed=known))
    plan = measured.plan(config.batch_size, config.seed)
    run = run_plan(config, data, plan)
    ranks = f", shared by {processes.world} processes" if processes.world > 1 else ""
    say(f"{run.records} samples an epoch, {run.steps} steps of {config.batch_size}{ranks}")

    torch.manual_seed(config.seed)
    model = load_trainable(config)
    fit = Fit(config, measured, run, folder, processes, say)
    start = fit.start(beginning.checkpoint)
    # From here on the folder is a run's; before, a mistyped model leaves it free for the next try.
    if processes.first:
        folder.describe(config, data.sources)
        folder.rewind(start.step)
        keep_newest(folder.path, config.keep_checkpoints)
    if beginning.checkpoint is not None:
        say(f"going on from {beginning.checkpoint}, after step {start.step}")
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    say(f"model {config.model.name}: {trained:,} parameters trained of {model.num_parameters():,}")

    judge(model, processor, _BEFORE, keep=True)
    bad = fit(model, processor, plan, start, beginning.checkpoint)
    if processes.first:
        save_model(model, processor, folder.model, dtypes_of(config.model.precision).frozen)
        folder.describe(config, data.sources, _summary(config, run, folder, trained, bad))
    return model, processor


@dataclass(frozen=True)
class _Judge:
    config: TrainConfig
    source: Source
    split: str | None
    folder: RunFolder
    processes: Processes
    say: Callable[[str], None]

    def __call__(
        self, model: Phi3VForCausalLM, processor: Phi3VProcessor, name: str, *, keep: bool = False
    ) -> Evaluation | None:
        """Judge, and write it down; `keep` takes what an earlier try of the run has written."""
        if self.split is None:
            return None
        earlier = self.processes.by_first(lambda: _written(self.folder, name)) if keep else None
        if earlier is not None:
            return earlier
        judgement = evaluate(
            model,
            processor,
            self.source.dataset,
            self.split,
            self.config.evaluation,
            processes=self.processes,
            exact_pixels=self.config.data.exact_pixels,
        )
        if self.processes.first:
            self.folder.write(name, judgement.as_json())
        self.say(f"{name}: {judgement.summary()}")
        return judgement


def _written(folder: RunFolder, name: str) -> Evaluation | None:
    path = folder.path / name
    return msgspec.json.decode(path.read_bytes(), type=Evaluation) if path.exists() else None


def _from_folder(config: TrainConfig, run: Path) -> TrainConfig:
    """Return the configuration with the model that a run saved in place of the one it began with."""
    return msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, name=str(run)))


def _result(folder: RunFolder) -> RunResult:
    summary = folder.result()
    return RunResult(
        logged_losses(folder.history),
        _written(folder, _BEFORE),
        _written(folder, _AFTER),
        summary["parameters_trained"],
        summary["bad_samples"],
    )


def _summary(config: TrainConfig, run: RunPlan, folder: RunFolder, trained: int, bad: BadSamples) -> dict[str, Any]:
    return {
        "steps": run.steps,
        "warmup_steps": run.warmup_steps,
        "learning_rate": config.learning_rate,
        "parameters_trained": trained,
        "last_loss": logged_losses(folder.history)[-1],
        "bad_samples": bad.count,
    }


def _accuracies(result: RunResult) -> dict[str, float | None]:
    return {
        "accuracy_before": result.before.accuracy if result.before else None,
        LAST_RESULT: result.after.accuracy if result.after else None,
    }
