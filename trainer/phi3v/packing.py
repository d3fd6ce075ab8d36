"""Several samples in one row, end to end without padding: each is to be what it is alone.

Where the samples lie is computed once, on the CPU, by `packed_row`; attention takes it in whatever form the kernel
expects, without waiting for the device. transformers' own detection of packed rows is not relied on: with a cache, or
with a mask of ones, it silently attends across samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from ...schema.errors import UsageError
from .varlen import VARLEN

_IGNORED = -100


class PackedRow(TypedDict):
    """Where the samples of a row lie; what the model takes beside the row's ids.

    Args:
        position_ids: int64 [1, tokens], each sample's tokens counted from 0.
        cu_seq_lens: int32 [samples + 1], where each sample starts, then the number of tokens.
        sample_lengths: tokens of each sample, as numbers that stay on the CPU.
    """

    position_ids: Tensor
    cu_seq_lens: Tensor
    sample_lengths: tuple[int, ...]


def packed_row(sample_lengths: Sequence[int]) -> PackedRow:
    """Lay samples of these lengths end to end.

    Args:
        sample_lengths: tokens of each sample, at least 1.
    """
    return {
        "position_ids": torch.cat([torch.arange(length) for length in sample_lengths])[None],
        "cu_seq_lens": torch.tensor([0, *itertools.accumulate(sample_lengths)], dtype=torch.int32),
        "sample_lengths": tuple(sample_lengths),
    }


def block_causal_mask(position_ids: Tensor) -> Tensor:
    """Say which tokens see which: those of their own sample up to themselves.

    Args:
        position_ids: [1, tokens] of a packed row.

    Returns:
        [1, 1, tokens, tokens] bool, queries by keys.
    """
    sample = (position_ids[0] == 0).cumsum(0)
    return (sample[:, None] == sample).tril_()[None, None]


def next_labels(labels: Tensor, cu_seq_lens: Tensor | None = None) -> Tensor:
    """Say what is to be predicted at each token: the label of the next one of its sample.

    Args:
        labels: [rows, tokens].
        cu_seq_lens: as in `PackedRow`, of one packed row; None where each row is a sample.

    Returns:
        [rows, tokens], -100 where a sample ends.
    """
    following = labels.roll(-1, dims=1)
    following[:, -1] = _IGNORED
    return following if cu_seq_lens is None else following.index_fill(1, cu_seq_lens[1:].long() - 1, _IGNORED)


def packed_attention(kernel: str, row: PackedRow, embedded: Tensor) -> dict[str, Any]:
    """Make the arguments by which a kernel keeps attention inside each sample.

    Args:
        kernel: transformers' name of the attention implementation.
        row: where the samples lie.
        embedded: [1, tokens, hidden size], the packed row.

    Returns:
        Arguments of `Phi3Model.forward`.

    Raises:
        UsageError: the lengths do not fill the row, or the kernel has no form for them.
    """
    lengths, bounds = row["sample_lengths"], row["cu_seq_lens"]
    expected_shape = [1, sum(lengths)]
    if min(lengths, default=0) < 1 or list(embedded.shape[:2]) != expected_shape or len(bounds) != len(lengths) + 1:
        raise UsageError(
            f"samples of {list(lengths)} tokens, {len(bounds)} bounds, in rows and tokens {list(embedded.shape[:2])}; "
            f"expected one row of samples of at least one token that fill it: pass what packed_row makes"
        )
    if kernel == "sdpa":
        return {"attention_mask": block_causal_mask(row["position_ids"])}
    if kernel == "eager":
        hidden = ~block_causal_mask(row["position_ids"])
        lowest = torch.finfo(embedded.dtype).min
        return {"attention_mask": torch.zeros_like(hidden, dtype=embedded.dtype).masked_fill_(hidden, lowest)}
    if kernel == VARLEN:
        # A mask that is already there spares transformers making one; the kernel does not look at it.
        unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=embedded.device)
        return {"attention_mask": unread, "cu_seq_lens_q": bounds, "sample_lengths": lengths}
    if kernel == "flash_attention_2":
        longest = max(lengths)
        of_samples = {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds}
        return {"attention_mask": None, **of_samples, "max_length_q": longest, "max_length_k": longest}
    raise UsageError(
        f"samples packed in one row, and attention {kernel!r}; expected varlen, flash_attention_2, sdpa or eager"
    )
