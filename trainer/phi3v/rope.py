"""Rotary positions, long or short by each sample's own length.

LongRoPE has two sets of frequencies: one for texts of at most `original_max_position_embeddings` tokens, one for longer
ones. The choice belongs to the sample: made once for a batch, a short sample's result would depend on its neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .configuration import Phi3VConfig

__all__ = ["SampleRope", "positions_from_mask"]


class _Frequencies(NamedTuple):
    short: Tensor
    long: Tensor
    attention_scaling: float


class SampleRope(nn.Module):
    """Cosines and sines of every position, each row of a batch with the frequencies that its length asks for."""

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
            position_ids: [rows, tokens] int; a row's length is its largest position + 1.

        Returns:
            Cosines and sines, [rows, tokens, head size].
        """
        frequencies = self._frequencies(hidden_states.device)
        lengths = position_ids.amax(dim=-1, keepdim=True) + 1
        of_row = torch.where(lengths > self.original_length, frequencies.long, frequencies.short)
        angles = position_ids[..., None].float() * of_row[:, None]
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


def positions_from_mask(attention_mask: Tensor) -> Tensor:
    """Count each row's real tokens, so that padding on either side shifts no position.

    Args:
        attention_mask: [rows, tokens], 1 where a token is real.

    Returns:
        [rows, tokens] int64; padding has the position of the last real token before it, or 0.
    """
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp_min(0)
