"""How much a micro-batch may hold: as asked for, or by what the model and the free memory allow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from torch.distributed.tensor import DTensor

from .backends import Backend
from .config import TrainConfig
from .data.assign import Budget

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig

__all__ = ["activation_bytes", "choose_budget"]

# Larger micro-batches are no faster: matrix products are as wide as a device can use.
_MOST_TOKENS = {"cuda": 32768, "cpu": 4096}
_LEAST_TOKENS = 1024
# What is left to the allocator's fragments, the kernels' workspaces and the logits of a chunk.
_USABLE = 0.8
_ADAM_STATES = 2


def choose_budget(
    config: TrainConfig, model: Phi3VConfig, backend: Backend, known_tokens: int | None = None
) -> Budget | None:
    """Return what a micro-batch holds; None where their number is fixed. The same in every process.

    Args:
        config: the run's.
        model: for its shapes.
        backend: with the model on its device.
        known_tokens: what was chosen when the run began.
    """
    if config.accumulate is not None:
        return None
    if known_tokens is not None:
        tokens = known_tokens
    elif config.micro_batch_tokens == "auto":
        tokens = min(backend.processes.gather(_fitting_tokens(config, model, backend)))
    else:
        tokens = config.micro_batch_tokens
    # No image has fewer tokens than its crops bring.
    crops = max(1, tokens // model.crop_geometry.tokens_per_side**2)
    return Budget(tokens, config.micro_batch_crops or crops)


def activation_bytes(config: TrainConfig, model: Phi3VConfig) -> float:
    """Return the memory, in bytes, that a token of a micro-batch needs for activations, its share of crops included.

    A layer that is recomputed keeps its input, a float32 residual, and needs the rest while it runs; a layer that is
    not keeps about 8 vectors of the model's width and 4 of the inner width. The backward pass of the layer that is
    worked on needs as much again.
    """
    every = config.model.gradient_checkpointing
    size = 4 if config.model.precision == "fp32" else 2

    def stack(layers: int, width: int, inner: int) -> float:
        recomputed = layers // every if every else 0
        layer = (8 * width + 4 * inner) * size
        return 4 * width * recomputed + layer * (layers - recomputed) + 2 * layer

    language = stack(model.num_hidden_layers, model.hidden_size, model.intermediate_size)
    tower, side = model.tower_config, model.crop_geometry.tokens_per_side
    patches_per_token = ((2 * side) ** 2 + 1) / side**2
    return language + patches_per_token * stack(tower.num_hidden_layers, tower.hidden_size, tower.intermediate_size)


def _fitting_tokens(config: TrainConfig, model: Phi3VConfig, backend: Backend) -> int:
    """Return the largest power of two that fits: small differences in free memory do not change it."""
    most = _MOST_TOKENS["cuda" if backend.device.type == "cuda" else "cpu"]
    free = _free_bytes(backend.device) * _USABLE - _training_bytes(backend.model)
    fitting = int(free / activation_bytes(config, model))
    tokens = min(most, max(_LEAST_TOKENS, fitting))
    return 1 << (tokens.bit_length() - 1)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return pages // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _training_bytes(model: torch.nn.Module) -> int:
    """Return what gradients and optimizer states are going to take in this process."""
    local = (
        parameter.to_local() if isinstance(parameter, DTensor) else parameter
        for parameter in model.parameters()
        if parameter.requires_grad
    )
    return sum(part.numel() * part.element_size() * (1 + _ADAM_STATES) for part in local)
