"""torch's own attention over samples of different lengths, as one of transformers' attention implementations.

Importing this module makes `attn_implementation="varlen"` known to transformers. It is for packed rows; padded ones,
generation and the vision tower get scaled dot-product attention.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ...schema.errors import UsageError

__all__ = ["VARLEN", "best_attention", "varlen_attention", "varlen_runs"]

VARLEN = "varlen"
_HALVES = (torch.bfloat16, torch.float16)


def varlen_runs(device: torch.device, dtype: torch.dtype) -> bool:
    """Say whether the kernel is there: it is torch's flash attention, on CUDA in half precision, since torch 2.10."""
    return device.type == "cuda" and dtype in _HALVES and _kernel() is not None


def best_attention(device: torch.device, dtype: torch.dtype) -> str:
    """Choose what `--attention auto` stands for.

    Args:
        device: where the model is to run.
        dtype: of its weights.
    """
    return VARLEN if varlen_runs(device, dtype) else "sdpa"


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    cu_seq_lens_k: Tensor | None = None,
    max_length_q: int = 0,
    max_length_k: int = 0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend inside each sample of a packed row, causally.

    Args:
        module: the layer.
        query: [1, heads, tokens, head size].
        key: [1, key heads, tokens, head size].
        value: the same.
        attention_mask: for rows that are not packed.
        scaling: of the scores.
        cu_seq_lens_q: int32 [samples + 1]; None where the rows are not packed.
        cu_seq_lens_k: the same again.
        max_length_q: tokens of the longest sample.
        max_length_k: the same again.
        kwargs: what other implementations take.

    Returns:
        [1, tokens, heads, head size], and no weights.

    Raises:
        UsageError: this torch or this precision has no such kernel.
    """
    if cu_seq_lens_q is None:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        return attended, None
    kernel = _kernel()
    if kernel is None:
        raise UsageError(f"torch {torch.__version__} has no varlen attention: update it, or pass --attention sdpa")
    # Turning by float32 tables under autocast leaves queries and keys in float32, values in half precision.
    query, key, value = (states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value))
    attended = kernel(
        query,
        key,
        value,
        cu_seq_lens_q,
        cu_seq_lens_k,
        max_length_q,
        max_length_k,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return attended[None], None


def _kernel() -> Any:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


AttentionInterface.register(VARLEN, varlen_attention)
AttentionMaskInterface.register(VARLEN, sdpa_mask)
