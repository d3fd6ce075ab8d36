"""Where metrics are followed: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ...schema.dependencies import require
from ..config import TrainConfig


class TrackerClient(Protocol):
    """Takes the metrics of a run."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Take the metrics of a step."""

    def close(self) -> None:
        """Write out what is left."""


def open_tracker(config: TrainConfig, folder: Path, name: str, first_step: int) -> TrackerClient | None:
    """Open the configured tracker; None where there is to be none.

    Args:
        config: names the tracker; its settings are recorded with the run.
        folder: for TensorBoard's events and the other trackers' local files.
        name: of the run.
        first_step: what was tracked from here on is replaced.

    Raises:
        MissingDependencyError: the tracker's package is not installed.
    """
    opened: dict[str, Callable[[], TrackerClient]] = {
        "tensorboard": lambda: _TensorBoard(folder, first_step),
        "wandb": lambda: _WeightsAndBiases(config, folder, name),
        "mlflow": lambda: _MlFlow(config, folder, name),
    }
    return opened[config.track]() if config.track in opened else None


class _TensorBoard:
    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=first_step or None)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, config: TrainConfig, folder: Path, name: str) -> None:
        require("wandb", purpose="--track wandb", extra="wandb")
        wandb: Any = importlib.import_module("wandb")
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "wandb.id"
        self._run = wandb.init(
            project="phi3v-data", name=name, id=_kept(kept), resume="allow", dir=str(folder), config=_flat(config)
        )
        kept.write_text(self._run.id)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


class _MlFlow:
    def __init__(self, config: TrainConfig, folder: Path, name: str) -> None:
        require("mlflow", purpose="--track mlflow", extra="mlflow")
        self._mlflow: Any = importlib.import_module("mlflow")
        self._mlflow.set_experiment("phi3v-data")
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "mlflow.id"
        known = _kept(kept)
        run = self._mlflow.start_run(run_id=known, run_name=None if known else name)
        kept.write_text(run.info.run_id)
        if known is None:
            self._mlflow.log_params(_flat(config))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(metrics), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


def _kept(path: Path) -> str | None:
    """Return the id that the tracker gave this run, which a run that resumes continues."""
    return path.read_text() if path.exists() else None


def _flat(config: TrainConfig) -> dict[str, Any]:
    import msgspec

    flat: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(config).items():
        flat |= {f"{name}.{each}": of for each, of in value.items()} if isinstance(value, dict) else {name: value}
    return flat
