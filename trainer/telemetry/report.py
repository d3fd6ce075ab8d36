"""What one logged step reports, and the run's own files of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec


@dataclass(frozen=True)
class StepReport:
    """One logged step, and the steps since the one logged before it.

    Args:
        step: optimizer steps that are done.
        loss: mean of the steps' losses.
        grad_norm: of the last step, before clipping.
        learning_rates: of the last step, by parameter group.
        images_per_second: over all processes.
        tokens_per_second: the same, images included.
        flops_per_second: a process, by the cost model; what is recomputed is not counted.
        utilisation: of the device's peak (MFU); None where the peak is not known.
        data_wait: share of the time that was waited for data.
        memory_gb: most that was ever allocated on this device; None on a CPU.
    """

    step: int
    loss: float
    grad_norm: float
    learning_rates: Mapping[str, float]
    images_per_second: float
    tokens_per_second: float
    flops_per_second: float
    utilisation: float | None
    data_wait: float
    memory_gb: float | None

    @property
    def learning_rate(self) -> float:
        """The largest of the learning rates."""
        return max(self.learning_rates.values())


def history_row(report: StepReport) -> dict[str, Any]:
    """Return what follows from settings, data and seed alone: equal runs have equal rows."""
    row = {"step": report.step, "loss": report.loss, "learning_rate": report.learning_rate}
    return {**row, "grad_norm": report.grad_norm}


def throughput_row(report: StepReport) -> dict[str, Any]:
    """Return how fast it went."""
    return {
        "step": report.step,
        "images_per_second": round(report.images_per_second, 4),
        "tokens_per_second": round(report.tokens_per_second, 2),
        "tflops_per_second": round(report.flops_per_second / 1e12, 6),
        "utilisation": report.utilisation,
        "data_wait": round(report.data_wait, 4),
        "memory_gb": report.memory_gb,
    }


def logged_losses(path: Path) -> list[float]:
    """Return every logged loss of a run's history, in order; none where nothing was logged yet."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line)["loss"] for line in lines]
