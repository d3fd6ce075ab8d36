"""Attention over samples of different lengths in one row, as one of transformers' attention implementations.

Importing this module makes `attn_implementation="varlen"` known to transformers. Packed rows go to torch's own kernel
(flash attention, without the flash-attn package) where it runs, and sample by sample elsewhere, so that no two samples
cost more together than apart. Padded rows, generation and the vision tower get scaled dot-product attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["VARLEN", "varlen_attention"]

VARLEN = "varlen"


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    sample_lengths: Sequence[int] = (),
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
        sample_lengths: the tokens of each sample.
        kwargs: what other implementations take.

    Returns:
        [1, tokens, heads, head size], and no weights.
    """
    if cu_seq_lens_q is None:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        return attended, None
    # Turning by float32 tables under autocast leaves queries and keys in float32, values in half precision.
    query, key = query.to(value.dtype), key.to(value.dtype)
    grouped = query.shape[1] != key.shape[1]
    kernel = _torchs_kernel(value)
    if kernel is None:
        by_sample = (states.split(list(sample_lengths), dim=2) for states in (query, key, value))
        parts = [
            scaled_dot_product_attention(q, k, v, scale=scaling, is_causal=True, enable_gqa=grouped)
            for q, k, v in zip(*by_sample, strict=True)
        ]
        return torch.cat(parts, dim=2).transpose(1, 2), None
    attended = kernel(
        *(states[0].transpose(0, 1) for states in (query, key, value)),
        cu_seq_lens_q,
        cu_seq_lens_q,
        max(sample_lengths),
        max(sample_lengths),
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=grouped,
    )
    return attended[None], None


def _torchs_kernel(value: Tensor) -> Any:
    """Return torch's kernel where it runs: on CUDA in half precision, since torch 2.10."""
    if not value.is_cuda or value.dtype not in (torch.bfloat16, torch.float16):
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


AttentionInterface.register(VARLEN, varlen_attention)
AttentionMaskInterface.register(VARLEN, sdpa_mask)
