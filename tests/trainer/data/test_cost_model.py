"""The cost model against the model's own matrices, and what each strategy leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from phi3v_data.trainer.config import make_config
from phi3v_data.trainer.data.cost_model import sample_cost, strategy_passes
from phi3v_data.trainer.phi3v.configuration import Phi3VConfig
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_model

PUBLISHED = Phi3VConfig(
    vocab_size=32064, hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=32
)


def test_the_cost_of_a_sample_is_the_published_one() -> None:
    assert sample_cost(2443, 30, 17, PUBLISHED) == pytest.approx(74e12, rel=0.01)
    assert sample_cost(0, 0, 17, PUBLISHED) == pytest.approx(74e12 / 4, rel=0.05)
    many = sample_cost(np.array([10, 2443]), np.array([5, 30]), np.array([0, 17]), PUBLISHED)
    assert many.tolist() == [sample_cost(10, 5, 0, PUBLISHED), sample_cost(2443, 30, 17, PUBLISHED)]


def test_the_cost_of_text_follows_from_the_models_own_matrices() -> None:
    model = tiny_model()
    matrices = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2 and "vision" not in name and "embed_tokens" not in name
    ]
    attention = 2 * 2 * 96 * 100 * 100  # 2 layers, width 96, half of the pairs of 100 positions
    assert sample_cost(100, 100, 0, tiny_config()) == 3 * (2 * sum(m.numel() for m in matrices) * 100 + attention)


def test_the_cost_of_a_crop_follows_from_the_towers_own_matrices() -> None:
    model, config = tiny_model(), tiny_config()
    positions, tokens, layers = 37, 9, 2  # 6 x 6 patches and a class; of 3 layers the last is not run
    of_layers = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2 and ".layers." in name and "vision" in name and ".layers.2." not in name
    ]
    projection = [p for name, p in model.named_parameters() if "img_projection" in name and p.dim() == 2]
    expected = (
        2 * positions * sum(m.numel() for m in of_layers)
        + 4 * layers * config.tower_config.hidden_size * positions**2
        + 2 * tokens * sum(m.numel() for m in projection)
    )
    assert sample_cost(0, 0, 1, config) == 3 * expected


def test_the_head_and_most_of_the_last_layer_cost_nothing_where_nothing_is_supervised() -> None:
    whole, none = sample_cost(100, 100, 0, tiny_config()), sample_cost(100, 0, 0, tiny_config())
    head, output, mlp = 96 * 272, 96 * 96, 3 * 96 * 256  # width 96, a vocabulary of 272, an MLP of 256
    attention = 2 * 96 * 100 * 100  # one layer, half of the pairs of 100 positions
    assert whole - none == 3 * (2 * (head + output + mlp) * 100 + attention)
    last = sample_cost(100, 1, 0, tiny_config()) - none
    assert last == 3 * (2 * (head + output + mlp) + 2 * 96 * (2 * 100 - 1))


@pytest.mark.parametrize(
    ("settings", "tower", "language"),
    [
        ({"strategy": "full"}, 3, 3),
        ({"strategy": "frozen-vision"}, 1, 3),
        ({"strategy": "lora"}, 2, 2),
        ({"strategy": "lora", "lora.vision": False}, 1, 2),
        ({"strategy": "qlora"}, 2, 2),
    ],
)
def test_frozen_weights_need_no_gradients_and_a_frozen_tower_no_backward_pass(
    settings: dict[str, object], tower: int, language: int
) -> None:
    passes, config = strategy_passes(make_config(settings)), tiny_config()
    assert (passes.tower, passes.language) == (tower, language)
    assert sample_cost(100, 10, 0, config, passes) == pytest.approx(
        sample_cost(100, 10, 0, config) * passes.language / 3
    )
    assert sample_cost(0, 0, 4, config, passes) <= sample_cost(0, 0, 4, config)
