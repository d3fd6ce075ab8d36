from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.data.deal import deal, imbalance, sample_cost
from phi3v_data.trainer.phi3v.configuration import Phi3VConfig
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_model

PUBLISHED = Phi3VConfig(
    vocab_size=32064, hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=32
)

costs_of_a_step = st.lists(st.integers(0, 1000) | st.floats(0, 1e15), max_size=40)


@given(costs_of_a_step, st.integers(1, 9), st.integers(1, 5))
def test_every_sample_is_dealt_once_and_every_rank_has_all_its_micro_batches(
    costs: list[float], ranks: int, pieces: int
) -> None:
    dealt = deal(costs, ranks, pieces)
    assert [len(rank) for rank in dealt] == [pieces] * ranks
    assert sorted(place for rank in dealt for part in rank for place in part) == list(range(len(costs)))
    assert all(part == sorted(part) for rank in dealt for part in rank)
    assert deal(costs, ranks, pieces) == dealt


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 5))
def test_no_rank_and_no_micro_batch_is_empty_while_there_are_enough_samples(
    costs: list[int], ranks: int, pieces: int
) -> None:
    for rank in deal(costs, ranks, pieces):
        samples = sum(map(len, rank))
        assert samples > 0 or len(costs) < ranks
        assert sum(1 for part in rank if part) == min(pieces, samples)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 9))
def test_the_costliest_rank_has_at_most_the_mean_and_one_sample_more(costs: list[int], ranks: int) -> None:
    loads = [sum(costs[place] for part in rank for place in part) for rank in deal(costs, ranks, 2)]
    assert max(loads) <= sum(costs) / ranks + max(costs)


def docvqa(draw: random.Random) -> tuple[int, int]:
    grid = crop_grid(draw.randrange(1500, 2600), draw.randrange(1500, 3400), 16)
    return grid.tokens + draw.randrange(25, 80), grid.rows * grid.columns + 1


def ucf(draw: random.Random) -> tuple[int, int]:
    grid = crop_grid(320, 240, 4)
    frames = draw.choice([8, 8, 8, 7, 5])
    return frames * (grid.tokens + 2) + draw.randrange(60, 70), frames * (grid.rows * grid.columns + 1)


def mixed(draw: random.Random) -> tuple[int, int]:
    text = (draw.randrange(20, 800), 0)
    pair = (2 * 757 + 50, 10)
    return draw.choice([text, text, docvqa(draw), docvqa(draw), ucf(draw), pair])


@pytest.mark.parametrize("lengths", [docvqa, ucf, mixed])
def test_with_8_ranks_and_64_samples_the_costliest_rank_is_within_5_percent_of_the_mean(
    lengths: Callable[[random.Random], tuple[int, int]],
) -> None:
    for seed in range(200):
        draw = random.Random(seed)
        costs = [float(sample_cost(*lengths(draw), PUBLISHED)) for _ in range(64)]
        for pieces in (1, 4):
            assert imbalance(costs, deal(costs, 8, pieces)) < 0.05


def test_dealt_in_their_order_the_same_samples_would_be_out_of_balance() -> None:
    draw = random.Random(0)
    costs = [float(sample_cost(*mixed(draw), PUBLISHED)) for _ in range(64)]
    assert imbalance(costs, [[list(range(first, first + 8))] for first in range(0, 64, 8)]) > 0.2


def test_micro_batches_that_run_at_the_same_time_cost_about_the_same() -> None:
    draw = random.Random(0)
    costs = [float(sample_cost(*mixed(draw), PUBLISHED)) for _ in range(128)]
    dealt = deal(costs, 8, 4)
    for piece in range(4):
        loads = [sum(costs[place] for place in rank[piece]) for rank in dealt]
        assert max(loads) < 1.15 * sum(loads) / len(loads)


def test_a_step_of_nothing_is_in_balance() -> None:
    assert imbalance([], deal([], 3, 2)) == 0


def test_the_cost_of_a_sample_is_the_published_one() -> None:
    assert sample_cost(2443, 17, PUBLISHED) == pytest.approx(77e12, rel=0.01)
    assert sample_cost(0, 17, PUBLISHED) == pytest.approx(77e12 / 4, rel=0.05)
    many = sample_cost(np.array([10, 2443]), np.array([0, 17]), PUBLISHED)
    assert many.tolist() == [sample_cost(10, 0, PUBLISHED), sample_cost(2443, 17, PUBLISHED)]


def test_the_cost_of_text_follows_from_the_models_own_matrices() -> None:
    model = tiny_model()
    matrices = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2 and "vision" not in name and "embed_tokens" not in name
    ]
    attention = 2 * 2 * 96 * 100 * 100  # 2 layers, width 96, half of the pairs of 100 positions
    assert sample_cost(100, 0, tiny_config()) == 3 * (2 * sum(m.numel() for m in matrices) * 100 + attention)


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
    assert sample_cost(0, 1, config) == 3 * expected
