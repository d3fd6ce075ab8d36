"""How much a micro-batch may hold: as asked for, or by what the model and the free memory allow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from .backends import Backend, choose_backend
from .config import TrainConfig
from .data.assign import Budget
from .memory import MicroBatch, estimate_memory

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig

# Larger micro-batches are no faster: matrix products are as wide as a device can use.
_MOST_TOKENS = {"cuda": 32768, "cpu": 4096}
_LEAST_TOKENS = 1024
# A share of the memory is lost to the allocator's fragments.
_USABLE = 0.9
# Answers are short: of a page of DocVQA, one token in a hundred is supervised. Taken generously.
_SUPERVISED = 0.05


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
    return Budget(tokens, config.micro_batch_crops or _crops(model, tokens))


def _fitting_tokens(config: TrainConfig, model: Phi3VConfig, backend: Backend) -> int:
    """Return the largest power of two that fits: small differences in free memory do not change it."""
    name, free = choose_backend(config, backend.processes.world), _free_bytes(backend.device) * _USABLE
    tokens = _MOST_TOKENS["cuda" if backend.device.type == "cuda" else "cpu"]
    while tokens > _LEAST_TOKENS:
        micro_batch = MicroBatch(tokens, _crops(model, tokens), int(tokens * _SUPERVISED))
        needed = estimate_memory(config, model, name, backend.processes.world, micro_batch)
        # The weights are there already.
        if needed.gradients + needed.optimizer + needed.communication + needed.activations <= free:
            break
        tokens //= 2
    return tokens


def _crops(model: Phi3VConfig, tokens: int) -> int:
    """Return the most crops that images of so many tokens have."""
    return max(1, tokens // model.crop_geometry.tokens_per_side**2)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return pages // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
