"""The loss over supervised tokens: the head runs only where something is predicted, and a bounded number of tokens at a
time, so that the logits of a long row never exist at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ...schema.errors import UsageError

CHUNK = 1024
"""Supervised tokens whose logits exist at once: 131 MB in float32 for the published vocabulary of 32,064."""


def summed_loss(head: nn.Module, hidden: Tensor, targets: Tensor, chunk: int = CHUNK) -> Tensor:
    """Sum the cross-entropy over supervised tokens.

    Args:
        head: from hidden states to logits.
        hidden: [supervised tokens, hidden size], where something is predicted.
        targets: [supervised tokens], the ids to be predicted.
        chunk: tokens whose logits exist at once; of more than one chunk the backward pass computes them again.

    Returns:
        A float32 scalar; without tokens a zero that has the head in its graph.
    """
    if len(targets) <= chunk:
        return _chunk_loss(head, hidden, targets)
    pairs = zip(hidden.split(chunk), targets.split(chunk), strict=True)
    losses: list[Tensor] = [checkpoint(_chunk_loss, head, *pair, use_reentrant=False) for pair in pairs]
    return torch.stack(losses).sum()


def _chunk_loss(head: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(head(hidden).float(), targets, reduction="sum")


def fused_loss(head: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """Sum the cross-entropy by Liger's kernel, which joins head and loss; arguments as of `summed_loss`.

    Raises:
        UsageError: the head has adapters, of which the kernel knows nothing.
    """
    if not isinstance(head, nn.Linear):
        raise UsageError(
            f"model.fused_loss with a head of type {type(head).__name__}; the fused loss takes one without adapters: "
            "leave model.fused_loss out, or train with --strategy full or frozen-vision"
        )
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    kernel: Any = liger_fused_linear_cross_entropy
    loss: Tensor = kernel(hidden.to(head.weight.dtype), head.weight, targets, reduction="sum")
    return loss
