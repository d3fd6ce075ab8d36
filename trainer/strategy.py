"""Which parameters are trained: all of them, or adapters beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .config import LoraSettings, TrainConfig

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM

__all__ = ["apply_strategy", "lora_targets"]

# The recipe's adapters.
_LANGUAGE = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "lm_head")
_TOWER = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def lora_targets(model: Phi3VForCausalLM, *, vision: bool) -> list[str]:
    """Name the linear layers that get adapters: the recipe's, as far as they reach the output.

    Args:
        model: the model.
        vision: whether the vision tower and projector get adapters, too.
    """
    return [name for name, module in model.named_modules() if _is_target(name, module.parameters(), vision)]


def _is_target(name: str, parameters: Iterable[object], vision: bool) -> bool:
    *_, leaf = name.split(".")
    if "vision_embed_tokens" not in name:
        return leaf in _LANGUAGE
    if not vision:
        return False
    if ".img_projection." in name:
        return leaf.isdigit() and any(True for _ in parameters)
    # The layers of the tower that the output never sees are frozen by the model itself.
    return leaf in _TOWER and all(getattr(parameter, "requires_grad", False) for parameter in parameters)


def apply_strategy(model: Phi3VForCausalLM, config: TrainConfig) -> Phi3VForCausalLM:
    """Make the parameters of the configured strategy trainable, and no others.

    Returns:
        The model itself, or a peft model around it.
    """
    if config.strategy == "full":
        return model
    return _with_adapters(model, config.lora)


def _with_adapters(model: Phi3VForCausalLM, settings: LoraSettings) -> Phi3VForCausalLM:
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=lora_targets(model, vision=settings.vision),
        init_lora_weights="gaussian",
        task_type="CAUSAL_LM",
    )
    wrapped: Phi3VForCausalLM = get_peft_model(model, adapters)
    return wrapped
