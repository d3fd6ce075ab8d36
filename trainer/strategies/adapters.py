"""Low-rank adapters on the recipe's layers, by peft."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..config import LoraSettings
from .adapter_folder import load_adapter
from .targets import adapter_targets, check_rank

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM


def add_adapters(model: Phi3VForCausalLM, settings: LoraSettings) -> Phi3VForCausalLM:
    """Put new adapters on a model and freeze the rest.

    Returns:
        A peft model around it, its adapters in float32.

    Raises:
        UsageError: the rank is larger than that of any matrix it would be added to.
    """
    from peft import LoraConfig, get_peft_model

    targets = adapter_targets(model, vision=settings.vision)
    check_rank(settings.rank, targets)
    adapters = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        init_lora_weights="gaussian",
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        task_type="CAUSAL_LM",
    )
    wrapped: Phi3VForCausalLM = get_peft_model(model, adapters)
    return wrapped


def continue_adapter(model: Phi3VForCausalLM, folder: Path) -> Phi3VForCausalLM:
    """Put a saved adapter on a model, to be trained on; its rank, scale and layers are its own.

    Raises:
        ModelFolderError: it is not an adapter for this model.
    """
    return load_adapter(model, folder, trainable=True)
