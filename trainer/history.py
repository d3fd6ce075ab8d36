"""What is logged while a run goes on: one line a person reads, and the same as JSON lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["HistoryCallback"]


class HistoryCallback(TrainerCallback):
    """Writes every logged step to a file, and says it.

    Args:
        path: the JSONL file.
        steps: optimizer steps in all.
        say: is told a line a logged step.
    """

    def __init__(self, path: Path, steps: int, say: Callable[[str], None]) -> None:
        self.losses: list[float] = []
        self._path = path
        self._steps = steps
        self._say = say
        self._started = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started = time.monotonic()

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
        self.losses.append(logs["loss"])
        row = {"step": state.global_step, **{name: logs[name] for name in ("loss", "learning_rate", "grad_norm")}}
        with self._path.open("ab") as stream:
            stream.write(msgspec.json.encode(row) + b"\n")
        left = (time.monotonic() - self._started) * (self._steps / state.global_step - 1)
        self._say(f"step {state.global_step}/{self._steps}  loss {logs['loss']:.4f}  {left:.0f} s left")
