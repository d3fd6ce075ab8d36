"""The training loop: one optimizer step after another, over a backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..schema.errors import RunError, RunStopped
from .backends import Backend
from .checkpoints import DataState
from .data.bad_samples import BadSample
from .data.cost_model import StepSize
from .data.loader import MicroBatch
from .data.plan import Plan
from .data.step_batches import StepBatches
from .data.training_data import MeasuredData
from .evaluation.periodic import PeriodicEvaluation
from .optimizer import LearningRate
from .precision import autocast
from .profiler import StepProfiler
from .saver import CheckpointSaver
from .signals import Signals
from .telemetry import Telemetry

if TYPE_CHECKING:
    from torch import Tensor

_NAMED = 10  # records that an error names


@dataclass(frozen=True)
class Training:
    """What the loop is given.

    Args:
        backend: holds model and optimizer.
        plan: the order of the samples.
        data: knows the samples' sizes and ids.
        batches: this process's micro-batches, step after step.
        step_size: what a step trains on, over all processes.
        learning_rate: of each step.
        telemetry: measures and reports.
        evaluation: evaluates every so many steps.
        saver: saves checkpoints.
        profiler: traces some of the steps.
        record: writes down what a step showed: its number, this process's samples as (place, id), all bad samples.
        data_state: the state of the data when so many steps are done.
        budget_tokens: what `auto` chose, to be kept in checkpoints.
    """

    backend: Backend
    plan: Plan
    data: MeasuredData
    batches: StepBatches
    step_size: Callable[[int], StepSize]
    learning_rate: LearningRate
    telemetry: Telemetry
    evaluation: PeriodicEvaluation
    saver: CheckpointSaver
    profiler: StepProfiler
    record: Callable[[int, list[tuple[int, str]], list[BadSample]], None]
    data_state: Callable[[int], DataState]
    budget_tokens: int | None


def take_steps(run: Training, steps: range) -> None:
    """Train for some steps.

    The loss of a step is the mean over its supervised tokens, in whichever micro-batch and process they are. Their
    number is known beforehand, from the index, so micro-batches are neither held nor looked ahead at. A sample that
    cannot be read counts for nothing in the sum, and still in the divisor.

    Args:
        run: everything else.
        steps: numbers of the steps, from 0.

    Raises:
        RunError: a loss or a gradient is not finite, too many samples in a row cannot be read, or a checkpoint cannot
            be written.
        RunStopped: the run was asked to end; a checkpoint is saved.
    """
    backend, processes = run.backend, run.backend.processes
    with Signals() as signals:
        for step in steps:
            size = run.step_size(step)
            shown: list[tuple[MicroBatch, Tensor]] = []
            with run.profiler.step(step):
                for batch, last in run.telemetry.timed(run.batches.of_step(step)):
                    with backend.micro_batch(last=last):
                        with autocast(backend.dtypes, backend.device):
                            loss = backend.model(**batch.inputs).loss
                        backend.backward(loss / max(1, size.supervised))
                    shown.append((batch, loss.detach()))
                share = run.learning_rate(step)
                norm = backend.step(share)

            # The one time in a step that the device is waited for, and the processes for one another.
            total, supervised, unread, checkpoint, stop = processes.sum(
                [
                    torch.stack([loss for _, loss in shown]).sum(),
                    sum(batch.supervised for batch, _ in shown),
                    sum(len(batch.bad) for batch, _ in shown),
                    float(signals.checkpoint() or run.saver.is_overdue),
                    float(signals.stop),
                ]
            )
            bad = [sample for batch, _ in shown for sample in batch.bad]
            if unread:
                bad = [sample for of_rank in processes.gather(bad) for sample in of_rank]
            run.record(step, [named for batch, _ in shown for named in batch.ids], bad)
            mean, grad_norm = total / max(1.0, supervised), float(norm)
            # Float16 gradients may overflow: then the step is left out and the loss scaled less.
            if not math.isfinite(mean) or not (math.isfinite(grad_norm) or backend.dtypes.scaled):
                raise _not_finite(run, step, mean, shown)

            done = step + 1
            saving = done < steps.stop and bool(checkpoint or stop or run.saver.is_due(done))
            run.telemetry.step_done(done, mean, grad_norm, backend.learning_rates(share), size, saving=saving)
            # Before the checkpoint, so that a run that resumes there need not evaluate again.
            is_over = run.evaluation.is_due(done) and run.evaluation(done)
            if saving:
                run.saver.save(run.data_state(done), run.budget_tokens)
            if is_over:
                break
            if stop and done < steps.stop:
                run.saver.wait()
                raise RunStopped(f"stopped by SIGTERM after step {done}; a checkpoint is saved: rerun to resume")
        run.saver.wait()


def _not_finite(run: Training, step: int, loss: float, shown: list[tuple[MicroBatch, Tensor]]) -> RunError:
    """Describe a step that broke the model, by the records of the micro-batches whose own loss is not finite."""
    own = [named for batch, of_batch in shown if not torch.isfinite(of_batch) for _, named in batch.ids]
    named = [each for of_rank in run.backend.processes.gather(own) for each in of_rank]
    what = f"the loss is {loss}" if not math.isfinite(loss) else "a gradient is not finite"
    named = named or run.data.ids(run.plan.step(step))
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return RunError(
        f"step {step + 1}: {what}; its records: {', '.join(named[:_NAMED])}{more}; lower --lr, or look at these records"
    )
