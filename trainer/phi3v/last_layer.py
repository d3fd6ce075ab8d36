"""The decoder's last layer, run for the tokens that something is predicted from and no others.

Every token's keys and values are needed there, for the answers attend to them. Queries, and all that comes after
attention, are of use where the head is run alone: for the rest they would be computed, and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.cache_utils import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import Phi3DecoderLayer, apply_rotary_pos_emb, eager_attention_forward

from . import varlen


class Answers(NamedTuple):
    """Where in a packed row something is predicted: one span of tokens a sample.

    Args:
        positions: int64 [tokens of all spans], their places in the row, ascending.
        spans: for each sample the first token of its span and the one after its last, counted from the sample's own
            first; never empty.
    """

    positions: Tensor
    spans: Sequence[tuple[int, int]]


class LastLayer(Phi3DecoderLayer):
    """A decoder layer that can be asked for some of the tokens only."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = False,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        answers: Answers | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Run the layer; see transformers' `Phi3DecoderLayer`.

        Args:
            hidden_states: [rows, tokens, hidden size].
            attention_mask: as the attention implementation takes it.
            position_ids: [rows, tokens].
            past_key_values: the cache of the tokens before; without `answers`.
            use_cache: whether there is one.
            position_embeddings: cosines and sines.
            answers: the tokens asked for, in a packed row; None for all.
            kwargs: for the attention implementation.

        Returns:
            [rows, tokens asked for, hidden size]: what the whole layer gives there.
        """
        if answers is None or position_embeddings is None:
            return super().forward(
                hidden_states, attention_mask, position_ids, past_key_values, use_cache, position_embeddings, **kwargs
            )
        attention = self.self_attn
        states = attention.qkv_proj(self.input_layernorm(hidden_states)).unflatten(-1, (-1, attention.head_dim))
        keys = states.shape[2] // (attention.num_key_value_groups + 2)
        query, key, value = states.transpose(1, 2).split((states.shape[2] - 2 * keys, keys, keys), dim=1)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        attended = _attend(attention, query, key, value, attention_mask, answers, kwargs)
        hidden: Tensor = hidden_states.index_select(1, answers.positions)
        hidden = hidden + self.resid_attn_dropout(attention.o_proj(attended.flatten(2)))
        after: Tensor = self.mlp(self.post_attention_layernorm(hidden))
        asked: Tensor = hidden + self.resid_mlp_dropout(after)
        return asked


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    answers: Answers,
    kwargs: dict[str, Any],
) -> Tensor:
    """Attend from the answers alone: [1, tokens of all spans, heads, head size].

    Args:
        module: the layer's attention.
        query: [1, heads, tokens, head size], of the whole row.
        key: [1, key heads, tokens, head size].
        value: the same.
        attention_mask: as the attention implementation takes it.
        answers: which tokens.
        kwargs: for the attention implementation.
    """
    kernel = module.config._attn_implementation
    if kernel == varlen.VARLEN and not varlen.runs_torch_kernel(value):
        return _by_sample(query, key, value, answers.spans, kwargs["sample_lengths"], module.scaling)
    of_queries = kernel != varlen.VARLEN and attention_mask is not None
    if of_queries and attention_mask is not None:
        query, attention_mask = (states.index_select(2, answers.positions) for states in (query, attention_mask))
    attend: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(kernel, eager_attention_forward)
    dropout = module.attention_dropout if module.training else 0.0
    attended: Tensor = attend(
        module, query, key, value, attention_mask, dropout=dropout, scaling=module.scaling, **kwargs
    )[0]
    # Flash kernels take all queries: which keys fewer of them would see depends on the kernel's version.
    return attended if of_queries else attended.index_select(1, answers.positions)


def _by_sample(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[tuple[int, int]],
    lengths: Sequence[int],
    scaling: float,
) -> Tensor:
    query, key = query.to(value.dtype), key.to(value.dtype)
    attended, start = [], 0
    for (first, stop), length in zip(spans, lengths, strict=True):
        seen = torch.ones(stop - first, stop, dtype=torch.bool, device=query.device).tril_(first)
        of_sample = slice(start, start + stop)
        attended.append(
            scaled_dot_product_attention(
                query[:, :, start + first : start + stop],
                key[:, :, of_sample],
                value[:, :, of_sample],
                attn_mask=seen,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
        start += length
    return torch.cat(attended, dim=2).transpose(1, 2)
