"""AdamW over bfloat16 weights that forgets nothing of its updates: each weight's rounding error is kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_ERROR = "compensation"


class KahanAdamW(torch.optim.Optimizer):
    """AdamW with Kahan's summation of the updates.

    At the learning rates of full fine-tuning most updates are smaller than half the distance between two bfloat16
    numbers, and would be rounded away. Here weight and rounding error, both in bfloat16, are together as exact as a
    number of 16 significant bits. Moments are kept in the weights' dtype; a step is computed in float32.

    Args:
        groups: parameters with their `lr` and `weight_decay`.
        betas: decay of the two moments.
        eps: added to the root of the second.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss here
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad.float(), group)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state |= {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq", _ERROR)}
        state["step"] += 1
        (first_decay, second_decay), updates = group["betas"], int(state["step"])
        first = state["exp_avg"].float().lerp_(gradient, 1 - first_decay)
        second = state["exp_avg_sq"].float().lerp_(gradient.square(), 1 - second_decay)
        state["exp_avg"].copy_(first)
        state["exp_avg_sq"].copy_(second)
        spread = (second / (1 - second_decay**updates)).sqrt_().add_(group["eps"])
        exact = exact_weights(weight, state)
        exact.mul_(1 - group["lr"] * group["weight_decay"])
        exact.addcdiv_(first, spread, value=-group["lr"] / (1 - first_decay**updates))
        set_exact_weights(weight, state, exact)


def exact_weights(weight: Tensor, state: dict[str, Any]) -> Tensor:
    """Return weights with what rounding took from them, in float32; `state` is the optimizer's of them."""
    exact: Tensor = weight.detach().float() + state[_ERROR]
    return exact


@torch.no_grad()
def set_exact_weights(weight: Tensor, state: dict[str, Any], exact: Tensor) -> None:
    """Set weights, and what rounding takes from them."""
    error = state.setdefault(_ERROR, torch.zeros_like(weight))
    for _ in range(2):
        # An error that is itself rounded may come to half a step, and their sum be rounded the other way: set a second
        # time, weight and error are those that a checkpoint of their sum gives back.
        weight.copy_(exact)
        error.copy_(exact - weight)
        exact = exact_weights(weight, state)
