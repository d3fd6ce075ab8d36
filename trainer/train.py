"""One fine-tuning run, from datasets to a saved model and its evaluation, in one process or in several."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from ..schema.progress import Progress, silent
from ..schema.wording import counted
from .config import TrainConfig
from .data.sources import Source, steady
from .data.training_data import TrainingData
from .evaluation import Evaluation, check_evaluation, evaluate
from .evaluation.comparison import compare
from .evaluation.journal import AnswerJournal, evaluation_identity
from .fit import FitResult, fit
from .model_folder import load_for_evaluation
from .outline import Outline, outline_steps
from .processes import Processes
from .resume import find_resume_point
from .run_folder import LAST_RESULT, RunFolder
from .telemetry import logged_losses

_BEFORE, _AFTER = "eval_before.json", "eval_after.json"


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        folder: what it left behind.
        steps: optimizer steps it took.
        losses: the logged training losses, in order.
        before: the evaluation before training; None where there is no split for it.
        after: and after.
        trained: number of parameters that were trained.
        bad_samples: how many samples could not be read.
        already_finished: nothing was left to do.
    """

    folder: RunFolder
    steps: int
    losses: list[float]
    before: Evaluation | None
    after: Evaluation | None
    trained: int
    bad_samples: int
    already_finished: bool = False

    def lines(self) -> list[str]:
        """Describe it for a person."""
        folder = self.folder
        if self.already_finished:
            other = "another --out starts another run"
            return [f"{folder.path}: this run is finished, its model is in {folder.model}; {other}"]
        lines = [f"model in {folder.model}; watch the losses with: tensorboard --logdir {folder.logs}"]
        if self.bad_samples:
            left_out = f"{counted(self.bad_samples, 'sample')} could not be read and left out"
            lines.insert(0, f"{left_out}; named in {folder.bad_samples}")
        if self.before and self.after and self.before.accuracy is not None and self.after.accuracy is not None:
            lines[:0] = [
                f"accuracy {self.before.accuracy:.3f} before, {self.after.accuracy:.3f} after",
                f"question by question: {compare(self.before, self.after).summary()}",
            ]
        return lines


def train(
    config: TrainConfig,
    sources: Sequence[Source],
    out: Path,
    log: Callable[[str], None] = lambda line: None,
    resume: str = "auto",
    progress: Progress = silent,
) -> RunResult:
    """Fine-tune, evaluate before and after, and save; or resume a run that ended early.

    Two runs with one configuration on one machine give the same losses, bit for bit, in float32 on a CPU, whether or
    not one of them was killed on the way. Started by torchrun, all processes of it train together.

    Args:
        config: everything the run depends on, beside the data.
        sources: the data; the first dataset is evaluated on, too.
        out: the run's folder; new, empty, or this run's own.
        log: called with a line for a person, in the first process.
        resume: `auto`, `never`, or a checkpoint's path; see `find_resume_point`.
        progress: shows how far it is, in the first process.

    Raises:
        DatasetError: the data cannot be trained on.
        ModelFolderError: the model or a checkpoint cannot be loaded.
        OutputError: `out` is taken or cannot be written.
        RunError: too many samples in a row could not be read, a loss was not finite, or the machine or the network
            failed.
        RunStopped: the run was asked to end; it resumes from a checkpoint.
        UsageError: the checkpoint is of another order.
    """
    processes = Processes.init()
    log = log if processes.first else lambda line: None
    progress = progress if processes.first else silent
    folder = RunFolder(out)
    data = processes.on_node_first(lambda: TrainingData(sources, config.data, progress))
    # What can be wrong with splits is found before the folder is taken.
    outline = outline_steps(config, data, data.plan(config.batch_size, config.seed))
    source, eval_split = steady(sources, config.data)[0], outline.eval_split
    if eval_split is not None:
        processes.on_node_first(lambda: check_evaluation(source.dataset, eval_split, config.evaluation))
    point = processes.by_first(lambda: find_resume_point(folder, config, resume))
    if point.finished:
        processes.shutdown()
        return replace(_result(folder), already_finished=True)
    if point.trained:
        log(f"{out}: all steps are done; what is missing is the evaluation of the model in {folder.model}")
    else:
        log(f"training on split {', '.join(outline.train_splits)}; {outline.evaluation(config)}")
        start = config.model.init_adapter or config.model.name

        def before() -> None:
            _evaluate(config, start, source, outline, folder, _BEFORE, processes, log, progress)

        fitted = fit(config, data, point, folder, processes, log, before, progress)
        if processes.first:
            folder.describe(config, sources, _summary(config, fitted, folder))
    _evaluate(config, str(out), source, outline, folder, _AFTER, processes, log, progress)

    result = processes.by_first(lambda: _result(folder))
    if processes.first:
        folder.describe(config, sources, {**folder.result(), **_accuracies(result)})
    processes.shutdown()
    return result


def _evaluate(
    config: TrainConfig,
    model_name: str,
    source: Source,
    outline: Outline,
    folder: RunFolder,
    name: str,
    processes: Processes,
    log: Callable[[str], None],
    progress: Progress,
) -> None:
    """Evaluate a model as `phi3v-data evaluate` does, and write it down; not if an earlier try of the run has."""
    if outline.eval_split is None or processes.by_first(lambda: _written(folder, name)) is not None:
        return
    settings = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, name=model_name))
    model, processor = load_for_evaluation(settings, processes.device)
    identity = evaluation_identity(settings, source.dataset.digest(), outline.eval_split, with_loss=True)
    journal = AnswerJournal((folder.path / name).with_suffix(".answers"), identity)
    found = evaluate(
        model,
        processor,
        source.dataset,
        outline.eval_split,
        config.evaluation,
        progress,
        processes,
        config.data.exact_pixels,
        journal,
        with_loss=True,
        log=log,
    )
    if processes.first:
        folder.write(name, found.as_json())
        journal.remove()
    log(f"{name}: {found.summary()}")
    # Its memory is needed for what comes next.
    del model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _written(folder: RunFolder, name: str) -> Evaluation | None:
    path = folder.path / name
    return msgspec.json.decode(path.read_bytes(), type=Evaluation) if path.exists() else None


def _result(folder: RunFolder) -> RunResult:
    summary = folder.result()
    return RunResult(
        folder,
        summary["steps"],
        logged_losses(folder.history),
        _written(folder, _BEFORE),
        _written(folder, _AFTER),
        summary["parameters_trained"],
        summary["bad_samples"],
    )


def _summary(config: TrainConfig, fitted: FitResult, folder: RunFolder) -> dict[str, Any]:
    return {
        "steps": fitted.steps,
        "warmup_steps": fitted.warmup_steps,
        "learning_rate": config.learning_rate,
        "parameters_trained": fitted.trained,
        "last_loss": logged_losses(folder.history)[-1],
        "bad_samples": fitted.bad_samples,
    }


def _accuracies(result: RunResult) -> dict[str, float | None]:
    return {
        "accuracy_before": result.before.accuracy if result.before else None,
        LAST_RESULT: result.after.accuracy if result.after else None,
    }
