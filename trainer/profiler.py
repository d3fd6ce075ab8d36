"""`--profile A:B`: a torch trace of some steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from .config import TrainConfig
from .run_folder import RunFolder


def profiled_steps(config: TrainConfig) -> range:
    """Return the steps of which a trace is written."""
    if config.profile is None:
        return range(0)
    first, _, end = config.profile.partition(":")
    return range(int(first), int(end))


class StepProfiler:
    """Writes one trace of all steps that are to be profiled, for `chrome://tracing` or Perfetto.

    Args:
        config: names the steps.
        folder: the run's.
        rank: this process's.
    """

    def __init__(self, config: TrainConfig, folder: RunFolder, rank: int) -> None:
        self._steps = profiled_steps(config)
        self._path: Path = folder.path / "profile" / f"steps-{self._steps.start}-{self._steps.stop}-rank-{rank}.json"
        self._profile: profile | None = None

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Profile what is done inside, if it is a step that is to be profiled."""
        if number not in self._steps:
            yield
            return
        if self._profile is None:
            on_gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profile = profile(activities=[ProfilerActivity.CPU, *on_gpu], record_shapes=True)
            self._profile.start()
        with torch.profiler.record_function(f"step {number}"):
            yield
        if number == self._steps[-1]:
            self._profile.stop()
            self._path.parent.mkdir(exist_ok=True)
            self._profile.export_chrome_trace(str(self._path))
