"""The dtypes of a run: of the weights that are trained, of those that are frozen, and of what is computed from them.

What is trained is kept in float32, also where everything is computed in half precision: at the learning rates of full
fine-tuning most updates are smaller than half a bfloat16 step, and would be rounded away. `bf16-pure` keeps what
rounding takes beside the weights instead; see `kahan`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from .config import Precision


class Dtypes(NamedTuple):
    """The dtypes of a run.

    Args:
        trained: of the parameters that are trained, and so of their gradients and optimizer states.
        frozen: of all other weights; what is saved is cast to it.
        compute: of matrix products and attention; where it differs from `trained`, under autocast.
        scaled: whether the loss is scaled, for gradients that float16 would round to zero.
    """

    trained: torch.dtype
    frozen: torch.dtype
    compute: torch.dtype
    scaled: bool = False

    @property
    def autocast(self) -> bool:
        """Whether the forward pass runs under autocast."""
        return self.compute != self.trained


_PRESETS: dict[Precision, Dtypes] = {
    "bf16": Dtypes(torch.float32, torch.bfloat16, torch.bfloat16),
    "fp16": Dtypes(torch.float32, torch.float16, torch.float16, scaled=True),
    "fp32": Dtypes(torch.float32, torch.float32, torch.float32),
    "bf16-pure": Dtypes(torch.bfloat16, torch.bfloat16, torch.bfloat16),
}


def dtypes_of(precision: Precision) -> Dtypes:
    """Return the dtypes that a preset stands for."""
    return _PRESETS[precision]


def autocast(dtypes: Dtypes, device: torch.device) -> torch.autocast:
    """Return the context in which forward passes run.

    No weight is used twice in a forward pass, so casts are not kept: they would be a second copy of the model.
    """
    return torch.autocast(device.type, dtype=dtypes.compute, enabled=dtypes.autocast, cache_enabled=False)
