"""AdamW, and the learning rate of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .config import OptimizerConfig
from .kahan import KahanAdamW


class LearningRate:
    """Linear warm-up from 0 to the peak, then linear decay to 0: a pure function of the step.

    Args:
        steps: optimizer steps of the run.
        warmup_steps: of them, how many warm up.
    """

    def __init__(self, steps: int, warmup_steps: int) -> None:
        self._steps = steps
        self._warmup = warmup_steps

    def __call__(self, step: int) -> float:
        """Return the share of the peak at a step, counted from 0."""
        if step < self._warmup:
            return step / self._warmup
        return max(0.0, (self._steps - step) / max(1, self._steps - self._warmup))


def make_optimizer(
    groups: Iterable[Mapping[str, Any]], config: OptimizerConfig, *, kahan: bool = False
) -> torch.optim.Optimizer:
    """Make AdamW.

    Args:
        groups: parameters, each group with its peak learning rate as `lr`.
        config: the rest.
        kahan: whether weights are in bfloat16, and what rounding takes from them is kept; see `KahanAdamW`.
    """
    peaks = [{**group, "peak_lr": group["lr"]} for group in groups]
    betas = config.beta1, config.beta2
    if kahan:
        return KahanAdamW(peaks, betas, config.eps)
    # One pass over memory in place of about ten, also on a CPU.
    return torch.optim.AdamW(peaks, betas=betas, eps=config.eps, fused=True)


def set_learning_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set each group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share
