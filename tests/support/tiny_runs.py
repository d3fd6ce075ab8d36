"""Runs of the tiny model: their settings, a sudden end for them, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.config import TrainConfig, make_config
from phi3v_data.trainer.data.sources import Source

TINY_RUN = {
    "model.name": "tiny",
    "model.precision": "fp32",
    "model.gradient_checkpointing": 0,
    "strategy": "full",
    "batch_size": 3,
    "accumulate": 1,
    "log_every": 1,
    "optimizer.lr": 1e-3,
    "evaluation.max_new_tokens": 8,
}


def tiny_config(settings: Mapping[str, Any] = MappingProxyType({})) -> TrainConfig:
    return make_config({**TINY_RUN, **settings})


class Killed(BaseException):
    """Ends a run as suddenly as a signal, at the moment it logs something."""


def broken_off(config: TrainConfig, data: Dataset, out: Path, step: int) -> Path:
    """Train until a step has been logged."""
    from phi3v_data.trainer.train import train

    def log(line: str) -> None:
        if line.startswith(f"step {step}/"):
            raise Killed

    with pytest.raises(Killed):
        train(config, [Source(data)], out, log)
    return out


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def traced(run: Path) -> dict[int, list[str]]:
    """The ids of each step, in the order of the plan, whichever rank was trained on them."""
    steps: dict[int, dict[int, str]] = {}
    for path in (run / "trace").iterdir():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            of_step = steps.setdefault(row["step"], {})
            shown = dict(zip(row["places"], row["ids"], strict=True))
            assert not of_step.keys() & shown.keys(), "two ranks were trained on one sample"
            of_step.update(shown)
    return {step: [of_place[place] for place in sorted(of_place)] for step, of_place in sorted(steps.items())}
