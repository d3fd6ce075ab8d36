"""Full fine-tuning at the learning rate that people use: bf16 follows float32, pure bf16 does not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from colours import colour_records, write_dataset
from tiny_runs import history, tiny_config

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.backends.tensor_files import load_tensors
from phi3v_data.trainer.config import Precision
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.phi3v.tiny import tiny_model
from phi3v_data.trainer.processes import Processes
from phi3v_data.trainer.train import train

pytestmark = pytest.mark.slow

STEPS, RECORDS = 100, 3
# Stated as a share of what float32 learns: its loss falls by about 1.3 in these steps.
DISTANCE = 0.05


class Outcome(NamedTuple):
    losses: list[float]
    moved: float


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("data"), {"train": colour_records("train", RECORDS)})


def run(data: Dataset, out: Path, precision: Precision) -> Outcome:
    settings = {
        "model.precision": precision,
        "optimizer.lr": 1e-5,
        "optimizer.warmup_steps": 0,
        "batch_size": RECORDS,
        "epochs": STEPS,
        "save_every": STEPS - 1,
        "evaluation.enabled": False,
        "track": "none",
    }
    train(tiny_config(settings), [Source(data)], out)
    before = {name: value for name, value in tiny_model().named_parameters() if value.requires_grad}
    kinds = ("weights", "exp_avg", "exp_avg_sq")
    dtype = torch.bfloat16 if precision == "bf16-pure" else torch.float32
    state = {f"{kind}.{name}": torch.zeros_like(value, dtype=dtype) for kind in kinds for name, value in before.items()}
    load_tensors(state, out / f"checkpoint-{STEPS - 1}" / "state", Processes())
    moved = sum(int((state[f"weights.{name}"] != value.to(dtype)).sum()) for name, value in before.items())
    return Outcome([row["loss"] for row in history(out)], moved / sum(value.numel() for value in before.values()))


def test_bf16_follows_float32_and_moves_its_weights_and_pure_bf16_does_not(data: Dataset, tmp_path: Path) -> None:
    exact, mixed, pure = (run(data, tmp_path / name, name) for name in ("fp32", "bf16", "bf16-pure"))
    fallen = exact.losses[0] - exact.losses[-1]

    def distance(outcome: Outcome) -> float:
        return max(abs(a - b) for a, b in zip(outcome.losses, exact.losses, strict=True)) / fallen

    assert distance(mixed) < DISTANCE
    assert mixed.moved >= 0.99
    assert distance(pure) > DISTANCE
    assert pure.moved < 0.99
