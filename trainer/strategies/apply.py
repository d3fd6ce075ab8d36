"""Make the parameters of a strategy trainable, and no others, each in its dtype."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...schema.errors import UsageError
from ..config import TrainConfig
from ..precision import dtypes_of
from .adapters import add_adapters, continue_adapter

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM


def check_takes_adapters(config: TrainConfig) -> None:
    """Make sure that a run goes on from an adapter by a strategy that trains adapters.

    Raises:
        UsageError: it does not.
    """
    if config.strategy not in ("lora", "qlora"):
        raise UsageError(f"--init-adapter with --strategy {config.strategy}; expected lora or qlora")


def apply_strategy(model: Phi3VForCausalLM, config: TrainConfig, init_adapter: Path | None = None) -> Phi3VForCausalLM:
    """Make the parameters of the configured strategy trainable, and no others.

    Args:
        model: is changed in place; for qlora, loaded with `quantisation(config)`.
        config: the run's.
        init_adapter: an adapter's folder to continue from, in place of a new adapter.

    Returns:
        The model itself, or a peft model around it: trained parameters and frozen ones in the dtypes of
        `config.model.precision`, 4-bit weights as they are.

    Raises:
        UsageError: an adapter that the strategy or the model cannot have.
        ModelFolderError: `init_adapter` is not an adapter for this model.
    """
    with_adapters = config.strategy in ("lora", "qlora")
    if init_adapter is not None:
        check_takes_adapters(config)
    if with_adapters:
        model = add_adapters(model, config.lora) if init_adapter is None else continue_adapter(model, init_adapter)
    else:
        model.requires_grad_(True)
        if config.strategy == "frozen-vision":
            vision = model.model.vision_embed_tokens
            vision.requires_grad_(False)
            if config.train_projector:
                for parameter in vision.projector_parameters():
                    parameter.requires_grad_(True)
        model.freeze_unused()
    _cast(model, config)
    return model


def _cast(model: Phi3VForCausalLM, config: TrainConfig) -> None:
    dtypes = dtypes_of(config.model.precision)
    for parameter in model.parameters():
        # What is quantised is stored as integers.
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtypes.trained if parameter.requires_grad else dtypes.frozen)
