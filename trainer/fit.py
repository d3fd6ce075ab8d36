"""The training part of a run: model, data and backend put together, all steps taken, the model saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import torch

from ..schema.errors import RunError, UsageError
from ..schema.progress import Progress, silent
from .backends import Backend, make_backend
from .checkpoints import DataState, keep_newest, read_data_state, read_training_state
from .config import TrainConfig
from .data.bad_samples import BadSample, BadSamples
from .data.cost_model import StepSize, strategy_passes
from .data.sources import steady
from .data.step_batches import StepBatches, assigner
from .data.training_data import MeasuredData, TrainingData
from .evaluation.periodic import PeriodicEvaluation
from .loop import Training, take_steps
from .micro_batch_budget import choose_budget
from .model_folder import load_model_config, load_run_processor, load_trainable, save_model
from .model_source import adapter_source
from .optimizer import LearningRate
from .outline import outline_steps
from .processes import Processes
from .profiler import StepProfiler
from .resume import ResumePoint
from .run_folder import RunFolder, append_row
from .saver import CheckpointSaver, restore_random_states
from .strategies import check_takes_adapters, parameter_groups
from .telemetry import Telemetry

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM


@dataclass(frozen=True)
class FitResult:
    """What training came to.

    Args:
        steps: optimizer steps of the run.
        warmup_steps: of them, warmed up.
        trained: parameters that were trained.
        bad_samples: samples that could not be read.
    """

    steps: int
    warmup_steps: int
    trained: int
    bad_samples: int


def fit(
    config: TrainConfig,
    data: TrainingData,
    point: ResumePoint,
    folder: RunFolder,
    processes: Processes,
    log: Callable[[str], None],
    before: Callable[[], None],
    progress: Progress = silent,
) -> FitResult:
    """Take all steps that are left, and save the model.

    Args:
        config: the run's.
        data: what is trained on.
        point: where the run begins or resumes.
        folder: where checkpoints, losses and the model go.
        processes: those that train.
        log: called with a line for a person.
        before: called once the folder is the run's, before its model is loaded.
        progress: shows how far it is.

    Raises:
        DatasetError: records that cannot be trained on.
        ModelFolderError: the model or the checkpoint cannot be loaded.
        RunError: see `take_steps`.
        UsageError: the checkpoint is of another order, or lies beyond the end of the run.
    """
    # First of all: another model's folder is refused as that, not for a file that it lacks.
    shapes = load_model_config(config)
    processor = load_run_processor(config)
    if config.model.init_adapter is not None:
        check_takes_adapters(config)
        adapter_source(config.model.init_adapter)
    known = point.again or point.checkpoint is not None
    measured = processes.on_node_first(lambda: data.measure(processor, log, progress, resumed=known))
    plan = measured.plan(config.batch_size, config.seed)
    outline = outline_steps(config, data, plan)
    start = _start(config, measured, point, outline.steps)

    backend = make_backend(config, processes)
    # From here on the folder is a run's; before, a mistyped model leaves it free for the next try.
    if processes.first:
        folder.describe(config, data.sources)
        folder.rewind(start.step)
        keep_newest(folder.path, config.keep_checkpoints)
    before()

    torch.manual_seed(config.seed)
    model = load_trainable(config, backend.load_device)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    log(f"model {config.model.name}: {trained:,} parameters trained of {model.num_parameters():,}")
    backend.prepare(model, parameter_groups(model, config))
    budget_tokens = _restore(point, backend, processes, start.step, log)

    budget = choose_budget(config, shapes, backend, budget_tokens if config.micro_batch_tokens == "auto" else None)
    shared = f", on {processes.world} processes by {type(backend).__name__}" if processes.world > 1 else ""
    log(f"{outline.in_words(config)}{shared}")
    if budget is not None:
        log(f"micro-batches of up to {budget.tokens:,} tokens and {budget.crops:,} crops")
    steps = range(start.step, outline.steps)
    spread = assigner(measured, shapes, config, processes.world, budget)
    passes = strategy_passes(config)
    bad = start.bad_samples
    with (
        StepBatches(measured, plan, steps, spread, processor, config, processes) as batches,
        Telemetry(
            config, folder, steps, processes.world, backend.device, log if processes.first else None, progress
        ) as meter,
        CheckpointSaver(config, folder.path, backend, model, processor, processes) as saver,
    ):
        training = Training(
            backend=backend,
            plan=plan,
            data=measured,
            batches=batches,
            step_size=lambda step: StepSize.of(measured.sizes(plan.step(step)), shapes, passes),
            learning_rate=LearningRate(outline.steps, outline.warmup_steps),
            telemetry=meter,
            evaluation=PeriodicEvaluation(
                config,
                steady(data.sources, config.data)[0],
                outline.eval_split,
                folder,
                backend,
                model,
                processor,
                log,
                progress,
            ),
            saver=saver,
            profiler=StepProfiler(config, folder, processes.rank),
            record=lambda step, shown, unread: _record(config, folder, processes, bad, log, step, shown, unread),
            data_state=lambda done: _data_state(config, measured, done, bad),
            budget_tokens=None if budget is None else budget.tokens,
        )
        try:
            take_steps(training, steps)
        except torch.OutOfMemoryError as error:
            held = "" if budget is None else f", now {budget.tokens}"
            raise RunError(
                f"out of memory on the GPU; lower --micro-batch-tokens{held}, or --num-crops, or take --strategy lora "
                "or qlora, or more GPUs with --backend fsdp2 (phi3v-data estimate shows what fits)"
            ) from error
    _save(model, backend, config, folder, processes)
    return FitResult(outline.steps, outline.warmup_steps, trained, bad.count)


def _data_state(config: TrainConfig, data: MeasuredData, step: int, bad: BadSamples) -> DataState:
    return DataState(
        step=step,
        seed=config.seed,
        batch_size=config.batch_size,
        shards_per_block=config.data.shards_per_block if any(index.shards for index in data.data.indexes) else None,
        data=data.digest,
        weights=[None if source.weight is None else float(source.weight) for source in data.data.sources],
        # As it is now: it is written later, while the run goes on.
        bad_samples=msgspec.structs.replace(bad),
    )


def _start(config: TrainConfig, data: MeasuredData, point: ResumePoint, steps: int) -> DataState:
    """Return where in the data the run begins."""
    begin = _data_state(config, data, 0, BadSamples())
    if point.checkpoint is None:
        return begin
    found = read_data_state(point.checkpoint)
    found.check(begin)
    if found.step >= steps:
        raise UsageError(
            f"{point.checkpoint}: saved after step {found.step}, and this run ends after step {steps}; train for more "
            "--epochs, or resume from an earlier checkpoint"
        )
    return found


def _restore(
    point: ResumePoint, backend: Backend, processes: Processes, step: int, log: Callable[[str], None]
) -> int | None:
    """Take everything from the run's checkpoint; return the tokens of a micro-batch that it was made with."""
    if point.checkpoint is None:
        return None
    log(f"resuming from {point.checkpoint}, after step {step}")
    state = read_training_state(point.checkpoint)
    backend.load_state(point.checkpoint / "state", state.optimizer)
    restore_random_states(point.checkpoint, processes.rank)
    return state.budget_tokens


def _record(
    config: TrainConfig,
    folder: RunFolder,
    processes: Processes,
    bad: BadSamples,
    log: Callable[[str], None],
    step: int,
    shown: list[tuple[int, str]],
    unread: list[BadSample],
) -> None:
    """Write down which samples a step showed, and which it could not; stop where too many in a row could not be."""
    if config.data.trace:
        path = folder.trace(processes.rank)
        path.parent.mkdir(exist_ok=True)
        places, ids = zip(*sorted(shown), strict=True) if shown else ((), ())
        append_row(path, {"step": step, "places": places, "ids": ids})
    for sample in unread if processes.first else []:
        append_row(folder.bad_samples, {"step": step, **sample._asdict()})
        log(f"step {step + 1}: sample {sample.id} cannot be read and is left out ({sample.reason})")
    bad.add(config.batch_size, unread, config.data.bad_samples_in_a_row)


def _save(
    model: Phi3VForCausalLM, backend: Backend, config: TrainConfig, folder: RunFolder, processes: Processes
) -> None:
    """Save the trained model whole or not at all."""
    weights = backend.whole_state_dict()

    def write() -> None:
        unfinished = folder.path / "model.partial"
        save_model(model, load_run_processor(config), unfinished, backend.dtypes.frozen, weights)
        folder.replace_model(unfinished)

    processes.by_first(write)
