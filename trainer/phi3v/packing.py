"""Several samples in one row, end to end without padding: each is to be what it is alone.

Attention is told where the samples lie in whatever form the kernel takes it. transformers' own detection of packed rows
is not relied on: with a cache, or with a mask of ones, it silently attends across samples.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ...schema.errors import UsageError
from .varlen import VARLEN

__all__ = ["block_causal_mask", "next_labels", "packed_attention", "packed_positions"]

_IGNORED = -100


def packed_positions(cu_seq_lens: Tensor) -> Tensor:
    """Count each sample's tokens from 0.

    Args:
        cu_seq_lens: [samples + 1] int, where each sample starts, and where the last one ends.

    Returns:
        [1, tokens] int64.
    """
    lengths = cu_seq_lens.diff().long()
    starts = torch.repeat_interleave(cu_seq_lens[:-1].long(), lengths)
    return (torch.arange(len(starts), device=starts.device) - starts)[None]


def block_causal_mask(cu_seq_lens: Tensor) -> Tensor:
    """Say which tokens see which: those of their own sample up to themselves.

    Args:
        cu_seq_lens: as in `packed_positions`.

    Returns:
        [1, 1, tokens, tokens] bool, queries by keys.
    """
    lengths = cu_seq_lens.diff().long()
    sample = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    return (sample[:, None] == sample).tril_()[None, None]


def next_labels(labels: Tensor, cu_seq_lens: Tensor | None = None) -> Tensor:
    """Say what is to be predicted at each token: the label of the next one of its sample.

    Args:
        labels: [rows, tokens].
        cu_seq_lens: as in `packed_positions`, of one packed row; None where each row is a sample.

    Returns:
        [rows, tokens], -100 where a sample ends.
    """
    following = labels.roll(-1, dims=1)
    ends = torch.tensor([labels.shape[1]], device=labels.device) if cu_seq_lens is None else cu_seq_lens[1:].long()
    return following.index_fill(1, ends - 1, _IGNORED)


def packed_attention(kernel: str, cu_seq_lens: Tensor, embedded: Tensor) -> dict[str, Any]:
    """Make the arguments by which a kernel keeps attention inside each sample.

    Args:
        kernel: transformers' name of the attention implementation.
        cu_seq_lens: as in `packed_positions`.
        embedded: [1, tokens, hidden size], the packed row.

    Returns:
        Arguments of `Phi3Model.forward`.

    Raises:
        UsageError: the lengths do not fill the row, or the kernel cannot be told of samples.
    """
    # The only place where the device is waited for: kernels want lengths as numbers.
    bounds: list[int] = cu_seq_lens.tolist()
    lengths = [end - start for start, end in itertools.pairwise(bounds)]
    if embedded.shape[0] != 1 or bounds[:1] != [0] or bounds[-1] != embedded.shape[1] or min(lengths, default=0) < 1:
        raise UsageError(
            f"cu_seq_lens {bounds} over {list(embedded.shape[:2])} rows and tokens; expected one row, and the start of "
            "every sample from 0 on, then the number of tokens"
        )
    if kernel == "sdpa":
        return {"attention_mask": block_causal_mask(cu_seq_lens)}
    if kernel == "eager":
        hidden = ~block_causal_mask(cu_seq_lens)
        lowest = torch.finfo(embedded.dtype).min
        return {"attention_mask": torch.zeros_like(hidden, dtype=embedded.dtype).masked_fill_(hidden, lowest)}
    if kernel == VARLEN:
        # A mask that is already there spares transformers making one; the kernel does not look at it.
        unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=embedded.device)
        return {"attention_mask": unread, "cu_seq_lens_q": cu_seq_lens, "sample_lengths": lengths}
    if kernel == "flash_attention_2":
        longest = max(lengths)
        of_samples = {"cu_seq_lens_q": cu_seq_lens, "cu_seq_lens_k": cu_seq_lens}
        return {"attention_mask": None, **of_samples, "max_length_q": longest, "max_length_k": longest}
    raise UsageError(
        f"samples packed in one row, and attention {kernel!r}; expected varlen, flash_attention_2, sdpa or eager"
    )
