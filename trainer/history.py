"""What is logged while a run goes on: one line a person reads, and the same as JSON lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .run_folder import append_row

__all__ = ["HistoryCallback", "logged_losses"]


class HistoryCallback(TrainerCallback):
    """Writes every logged step to a file, and says it.

    Args:
        path: the JSONL file; what it holds already, an earlier part of the run has logged.
        steps: optimizer steps in all.
        say: is told a line a logged step.
    """

    def __init__(self, path: Path, steps: int, say: Callable[[str], None]) -> None:
        self._path = path
        self._steps = steps
        self._say = say
        self._started = time.monotonic()
        self._begun_at = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._begun_at = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep and say one logged step; the Trainer's closing summary has no loss of a step and is passed over."""
        if logs is None or "loss" not in logs:
            return
        row = {"step": state.global_step, **{name: logs[name] for name in ("loss", "learning_rate", "grad_norm")}}
        append_row(self._path, row)
        passed = time.monotonic() - self._started
        left = passed / (state.global_step - self._begun_at) * (self._steps - state.global_step)
        self._say(f"step {state.global_step}/{self._steps}  loss {logs['loss']:.4f}  {left:.0f} s left")


def logged_losses(path: Path) -> list[float]:
    """Return every logged loss of a run, in order; none where nothing was logged yet."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line)["loss"] for line in lines]
