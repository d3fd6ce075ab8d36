from __future__ import annotations

import torch
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

from phi3v_data.trainer.phi3v.rope import SampleRope, positions_from_mask
from phi3v_data.trainer.phi3v.tiny import tiny_config

_LIMIT = 1024
_HIDDEN = torch.zeros(1)


def _alone(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What transformers gives a sample of this length by itself."""
    tables: tuple[torch.Tensor, torch.Tensor] = Phi3RotaryEmbedding(tiny_config())(_HIDDEN, torch.arange(length)[None])
    return tables


def test_a_row_is_turned_as_it_is_alone_whatever_its_neighbour() -> None:
    lengths = (_LIMIT, _LIMIT + 1)
    position_ids = torch.arange(_LIMIT + 1).repeat(2, 1)
    position_ids[0].clamp_(max=_LIMIT - 1)
    tables = SampleRope(tiny_config())(_HIDDEN, position_ids)
    for row, length in enumerate(lengths):
        for table, expected in zip(tables, _alone(length), strict=True):
            assert torch.equal(table[row, :length], expected[0])


def test_long_and_short_texts_are_turned_differently() -> None:
    short, long = _alone(_LIMIT), _alone(_LIMIT + 1)
    assert not torch.equal(short[0][0, :_LIMIT], long[0][0, :_LIMIT])


def test_a_model_cast_to_half_precision_keeps_exact_frequencies() -> None:
    rope = SampleRope(tiny_config()).to(torch.bfloat16)
    cosines, _ = rope(_HIDDEN.to(torch.bfloat16), torch.arange(_LIMIT)[None])
    assert torch.equal(cosines, _alone(_LIMIT)[0].to(torch.bfloat16))


def test_padding_on_either_side_shifts_no_position() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    assert positions_from_mask(mask).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2], [0, 1, 2, 3, 4]]
