"""Which layers get adapters, and of which rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from ...schema.errors import UsageError

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM

# The recipe's layers, by the last part of their names.
_DECODER = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "lm_head")
_TOWER = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def adapter_targets(model: Phi3VForCausalLM, *, vision: bool) -> dict[str, nn.Linear]:
    """Return the linear layers that get adapters: the recipe's, as far as they reach the output.

    A layer is chosen by what it is, whatever its weights are stored as: 4-bit weights never ask for a gradient.

    Args:
        model: the model.
        vision: whether the vision tower and the projector get adapters, too.
    """
    embedding = model.model.vision_embed_tokens
    unused = {module for part in embedding.img_processor.unused_modules() for module in part.modules()}
    tower = set(embedding.img_processor.modules())
    projector = set(embedding.img_projection.modules())

    def is_target(name: str, module: nn.Linear) -> bool:
        leaf = name.rpartition(".")[2]
        if module in projector:
            return vision
        return (vision and leaf in _TOWER and module not in unused) if module in tower else leaf in _DECODER

    linear = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return {name: module for name, module in linear if is_target(name, module)}


def check_rank(rank: int, targets: Mapping[str, nn.Linear]) -> None:
    """Refuse a rank that no matrix has, before memory is taken for it.

    Raises:
        UsageError: it is larger than the shorter side of every layer.
    """
    most = max(min(module.in_features, module.out_features) for module in targets.values())
    if rank > most:
        raise UsageError(f"lora.rank is {rank}; expected 1 to {most}, the most any of this model's matrices has")
