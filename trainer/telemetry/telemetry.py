"""Telemetry of a run: measures each step, and reports the logged ones."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import torch

from ...schema.progress import Progress, silent
from ..config import TrainConfig
from ..data.cost_model import StepSize
from ..precision import dtypes_of
from ..run_folder import RunFolder, append_row
from .device_peaks import peak_flops
from .report import StepReport, history_row, throughput_row
from .trackers import open_tracker

_MINUTE, _HOUR = 60, 3600
_TRAINING = "Training"

Item = TypeVar("Item")


def duration(seconds: float) -> str:
    """Write a duration as a person says it."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


class Telemetry:
    """Measures in every process, reports in the first. A context manager.

    Args:
        config: how often is logged, and to which tracker.
        folder: the run's.
        steps: the optimizer steps to take.
        world: how many processes share a step.
        device: this process's.
        log: takes a line for a person; None where this process reports nothing.
        progress: shows how far the steps are, on a terminal; elsewhere the lines say it.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        steps: range,
        world: int,
        device: torch.device,
        log: Callable[[str], None] | None,
        progress: Progress = silent,
    ) -> None:
        self._config, self._folder, self._steps, self._world, self._device = config, folder, steps, world, device
        self._log = log
        self._progress = progress if sys.stderr.isatty() else silent
        self._peak = peak_flops(device, dtypes_of(config.model.precision).compute)
        self._opened = contextlib.ExitStack()
        self._losses: list[float] = []
        self._sizes: list[StepSize] = []
        self._waited = 0.0
        self._begun = self._since = time.monotonic()

    def __enter__(self) -> Telemetry:
        self._begun = self._since = time.monotonic()
        if self._log is None:
            return self
        self._tracker = open_tracker(self._config, self._folder.logs, self._folder.path.name, self._steps.start)
        if self._tracker is not None:
            self._opened.callback(self._tracker.close)
        self._progress(_TRAINING, "steps", self._steps.start, self._steps.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def timed(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, counting the time that they are waited for."""
        iterator = iter(items)
        while True:
            begun = time.monotonic()
            item = next(iterator, None)
            self._waited += time.monotonic() - begun
            if item is None:
                return
            yield item

    def step_done(
        self, done: int, loss: float, grad_norm: float, rates: Mapping[str, float], size: StepSize, *, saving: bool
    ) -> None:
        """Take in a step, and report it if it is one of those that are logged.

        The first step is, the last one, every `log_every`-th, and each before a checkpoint: what a checkpoint holds
        begins with an empty mean.

        Args:
            done: optimizer steps that are done.
            loss: of the step.
            grad_norm: before clipping.
            rates: learning rate of each parameter group.
            size: what it trained on.
            saving: whether a checkpoint follows.
        """
        self._losses.append(loss)
        self._sizes.append(size)
        self._progress(_TRAINING, f"steps, loss {loss:.4f}", done, self._steps.stop)
        if done in (1, self._steps.stop) or done % self._config.log_every == 0 or saving:
            self._report(done, grad_norm, rates)

    def _report(self, done: int, grad_norm: float, rates: Mapping[str, float]) -> None:
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        flops = sum(size.flops for size in self._sizes) / seconds / self._world
        on_gpu = self._device.type == "cuda"
        report = StepReport(
            step=done,
            loss=sum(self._losses) / len(self._losses),
            grad_norm=grad_norm,
            learning_rates=rates,
            images_per_second=sum(size.images for size in self._sizes) / seconds,
            tokens_per_second=sum(size.tokens for size in self._sizes) / seconds,
            flops_per_second=flops,
            utilisation=flops / self._peak if self._peak else None,
            data_wait=min(1.0, self._waited / seconds),
            memory_gb=torch.cuda.max_memory_allocated(self._device) / 1e9 if on_gpu else None,
        )
        self._losses, self._sizes, self._waited, self._since = [], [], 0.0, now
        if self._log is None:
            return
        append_row(self._folder.history, history_row(report))
        append_row(self._folder.throughput, throughput_row(report))
        if self._tracker is not None:
            self._tracker.log(_metrics(report), done)
        taken = done - self._steps.start
        left = (now - self._begun) / taken * (self._steps.stop - done)
        self._log(f"step {done}/{self._steps.stop}  {_line(report)}, {duration(left)} left")


def _line(report: StepReport) -> str:
    speed = f"{report.images_per_second:.3g} images/s, {report.tokens_per_second:,.0f} tokens/s"
    parts = [f"loss {report.loss:.4f}  {speed}"]
    if report.utilisation is not None:
        parts.append(f"MFU {report.utilisation:.0%}")
    if report.memory_gb is not None:
        parts.append(f"{report.memory_gb:.1f} GB")
    if report.data_wait >= 0.01:
        parts.append(f"{report.data_wait:.0%} waiting for data")
    return ", ".join(parts)


def _metrics(report: StepReport) -> dict[str, float]:
    found: dict[str, float | None] = {
        "train/loss": report.loss,
        "train/grad_norm": report.grad_norm,
        **{f"learning_rate/{name}": rate for name, rate in report.learning_rates.items()},
        "throughput/images_per_second": report.images_per_second,
        "throughput/tokens_per_second": report.tokens_per_second,
        "throughput/tflops_per_second": report.flops_per_second / 1e12,
        "throughput/mfu": report.utilisation,
        "throughput/data_wait": report.data_wait,
        "throughput/memory_gb": report.memory_gb,
    }
    return {name: value for name, value in found.items() if value is not None}
