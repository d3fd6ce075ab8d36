"""What a run is going to do, known before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .config import TrainConfig
from .data.plan import Plan
from .data.sources import Source
from .data.training_data import TrainingData
from .evaluation import evaluation_split

__all__ = ["RunPlan", "plan_run", "run_plan"]


@dataclass(frozen=True)
class RunPlan:
    """What a run is going to do.

    Args:
        train_splits: the split of each dataset that is trained on.
        records: samples in an epoch; with `--too-long drop`, before a tokenizer is there, at most so many.
        eval_split: the split of the first dataset that is judged on; None for no judgement.
        steps: optimizer steps.
        warmup_steps: how many of them warm the learning rate up.
    """

    train_splits: list[str]
    records: int
    eval_split: str | None
    steps: int
    warmup_steps: int


def plan_run(config: TrainConfig, sources: Sequence[Source]) -> RunPlan:
    """Work out splits and steps, as far as they are known without the model's tokenizer.

    Raises:
        DatasetError: a split that was named, or one to train on, is not there.
    """
    data = TrainingData(sources, config.data)
    return run_plan(config, data, data.plan(config.batch_size, config.seed))


def run_plan(config: TrainConfig, data: TrainingData, plan: Plan) -> RunPlan:
    """Work out steps from the order of the samples; see `plan_run`."""
    enabled, first = config.evaluation.enabled, data.sources[0].dataset
    steps = plan.steps(config.epochs)
    return RunPlan(
        data.splits,
        plan.epoch,
        evaluation_split(first, config.data.eval_split) if enabled else None,
        steps,
        min(config.optimizer.warmup_steps, steps // 10),
    )
