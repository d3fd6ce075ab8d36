"""What a run is going to do, known before a model is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..schema.errors import ModelFolderError
from ..schema.wording import counted
from ..storage import is_remote
from .config import TrainConfig
from .data.plan import Plan
from .data.sources import Source
from .data.splits import evaluation_split
from .data.training_data import TrainingData

# A run has a model inside, an adapter has no configuration of a model.
_MODEL_FILES = ("config.json", "run.json", "adapter_config.json", "model")


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

    def in_words(self, config: TrainConfig) -> str:
        """Return in words how much there is to train on."""
        return f"{counted(self.records, 'sample')} an epoch, {counted(self.steps, 'step')} of {config.batch_size}"

    def evaluation(self, config: TrainConfig) -> str:
        """Return in words what is evaluated, or why nothing is."""
        if self.eval_split is not None:
            also = ", which is trained on" if self.eval_split == self.train_splits[0] else ""
            return f"evaluated before and after on split {self.eval_split}{also}"
        if not config.evaluation.enabled:
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


def locate_model(config: TrainConfig) -> str:
    """Return in words where the model comes from; only its configuration is looked for.

    Raises:
        ModelFolderError: there is no model at the path that was named.
    """
    name = config.model.name
    if is_remote(name):
        raise ModelFolderError(f"--model {name}: models are read from this machine; copy that folder here")
    folder = Path(name)
    if name == "tiny":
        return "tiny: made here"
    if folder.is_dir():
        parts = (folder / part for part in _MODEL_FILES)
        if not any(part.exists() for part in parts):
            raise ModelFolderError(f"--model {name}: not a model folder (it has no config.json)")
        return f"{name}: a local folder"
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelFolderError(f"--model {name}: no such folder, and not a hub id (owner/name)")
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return f"{name}: in the hub's cache on this machine"
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return f"{name}: not on this machine, and HF_HUB_OFFLINE=1 keeps it from being fetched"
    return f"{name}: to be fetched from the hub"
