"""Rotary positions, long or short by each sample's own length.

LongRoPE has two sets of frequencies: one for texts of at most `original_max_position_embeddings` tokens, one for longer
ones. The choice belongs to the sample: made once for a batch, a short sample's result would depend on its neighbours,
beside it in a padded batch or before it in a packed row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .configuration import Phi3VConfig


class _Frequencies(NamedTuple):
    short: Tensor
    long: Tensor
    attention_scaling: float


class SampleRope(nn.Module):
    """Cosines and sines of every position, each sample of a batch with the frequencies that its length asks for."""

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        self.config = config
        self.original_length = config.original_max_position_embeddings
        # No buffers: casting the model to half precision would round the frequencies, loading it through the meta
        # device would lose them.
        self._by_device: dict[torch.device, _Frequencies] = {}

    @torch.no_grad()
    def forward(self, hidden_states: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the tables that every layer's queries and keys are turned by.

        Args:
            hidden_states: gives device and dtype.
            position_ids: [rows, tokens] int; a sample starts wherever the position is 0, its length is its largest
                position + 1.

        Returns:
            Cosines and sines, [rows, tokens, head size].
        """
        frequencies = self._frequencies(hidden_states.device)
        is_long = _sample_lengths(position_ids) > self.original_length
        of_token = torch.where(is_long[..., None], frequencies.long, frequencies.short)
        angles = position_ids[..., None].float() * of_token
        angles = torch.cat((angles, angles), dim=-1)
        cosines, sines = (table * frequencies.attention_scaling for table in (angles.cos(), angles.sin()))
        return cosines.to(hidden_states.dtype), sines.to(hidden_states.dtype)

    def _frequencies(self, device: torch.device) -> _Frequencies:
        if device not in self._by_device:
            self._by_device[device] = self._compute(device)
        return self._by_device[device]

    def _compute(self, device: torch.device) -> _Frequencies:
        rope: dict[str, Any] = dict(self.config.rope_parameters or {})
        if rope["rope_type"] == "default":
            size = self.config.hidden_size // self.config.num_attention_heads
            exponents = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
            plain = 1.0 / rope["rope_theta"] ** exponents
            return _Frequencies(plain, plain, 1.0)
        longrope = ROPE_INIT_FUNCTIONS["longrope"]
        short, attention_scaling = longrope(self.config, device)
        long, _ = longrope(self.config, device, seq_len=self.original_length + 1)
        return _Frequencies(short, long, attention_scaling)


def _sample_lengths(position_ids: Tensor) -> Tensor:
    """For each token, the length of the sample it is in: [rows, tokens]."""
    # What stands before the first 0 (the next token of an answer) is a sample, too: the one of number 0.
    sample = (position_ids == 0).cumsum(dim=-1)
    last = position_ids.new_zeros(len(position_ids), position_ids.shape[1] + 1)
    return last.scatter_reduce_(1, sample, position_ids, "amax").gather(1, sample) + 1


def positions_from_mask(attention_mask: Tensor) -> Tensor:
    """Count each row's real tokens, so that padding on either side shifts no position.

    Args:
        attention_mask: [rows, tokens], 1 where a token is real.

    Returns:
        [rows, tokens] int64; padding has the position of the last real token before it, or 0.
    """
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp_min(0)
