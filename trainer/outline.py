"""What a run is going to do, known before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .config import TrainConfig
from .data.plan import Plan
from .data.sources import Source
from .data.training_data import TrainingData
from .evaluation import evaluation_split

__all__ = ["Outline", "outline_run", "outline_steps"]


@dataclass(frozen=True)
class Outline:
    """What a run is going to do.

    Args:
        train_splits: the split of each dataset that is trained on.
        records: samples in an epoch; with `--too-long drop`, before a tokenizer is there, at most so many.
        eval_split: the split of the first dataset that is evaluated on; None where nothing is.
        steps: optimizer steps.
        warmup_steps: how many of them warm the learning rate up.
    """

    train_splits: list[str]
    records: int
    eval_split: str | None
    steps: int
    warmup_steps: int

    def evaluation(self, *, enabled: bool) -> str:
        """Say what is evaluated, or why nothing is."""
        if self.eval_split is not None:
            return f"evaluated before and after on split {self.eval_split}"
        if not enabled:
            return "nothing is evaluated: evaluation.enabled is false"
        return "nothing is evaluated: no split val, dev or test; --eval-split names one"


def outline_run(config: TrainConfig, sources: Sequence[Source]) -> Outline:
    """Work out splits and steps, as far as they are known without the model's tokenizer.

    Raises:
        DatasetError: a split that was named, or one to train on, is not there.
    """
    data = TrainingData(sources, config.data)
    return outline_steps(config, data, data.plan(config.batch_size, config.seed))


def outline_steps(config: TrainConfig, data: TrainingData, plan: Plan) -> Outline:
    """Work out steps from the order of the samples; see `outline_run`."""
    steps = plan.steps(config.epochs)
    return Outline(
        data.splits,
        plan.epoch,
        _eval_split(config, data),
        steps,
        min(config.optimizer.warmup_steps, steps // 10),
    )


def _eval_split(config: TrainConfig, data: TrainingData) -> str | None:
    if not config.evaluation.enabled:
        return None
    found = evaluation_split(data.sources[0].dataset, config.data.eval_split)
    # What is trained on is evaluated only where that is asked for.
    return None if found == data.splits[0] and config.data.eval_split is None else found
