"""Attention over samples of different lengths in one row, as one of transformers' attention implementations.

Importing this module makes `attn_implementation="varlen"` known to transformers. Packed rows go to torch's own kernel
(flash attention, without the flash-attn package) where it runs, and sample by sample to scaled dot-product attention
elsewhere, so that no two samples cost more together than apart. Padded rows, generation and the vision tower always get
scaled dot-product attention.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

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
    kernel = torch_kernel() if runs_torch_kernel(value) else None
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
        window_size=_CAUSAL,
        enable_gqa=grouped,
    )
    return attended[None], None


_CAUSAL = (-1, 0)
# torch 2.10 brought the kernel, without these; it took `is_causal` instead.
_ARGUMENTS = ("scale", "window_size", "enable_gqa")
_AMPERE = (8, 0)


@functools.cache
def torch_kernel() -> Callable[..., Any] | None:
    """Return torch's varlen kernel where the torch installed has it and it takes the arguments given here."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    kernel: Callable[..., Any] = varlen_attn
    known = inspect.signature(kernel).parameters
    return kernel if all(name in known for name in _ARGUMENTS) else None


def runs_torch_kernel(value: Tensor) -> bool:
    """Whether the kernel runs on such values: in half precision, on a GPU since Ampere (not on a V100 or T4)."""
    if not value.is_cuda or value.dtype not in (torch.bfloat16, torch.float16):
        return False
    return _compute_capability(value.device) >= _AMPERE


@functools.cache
def _compute_capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


AttentionInterface.register(VARLEN, varlen_attention)
AttentionMaskInterface.register(VARLEN, sdpa_mask)
