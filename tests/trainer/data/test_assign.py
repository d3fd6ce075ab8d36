from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.data.assign import Budget, assign, assign_by_budget, imbalance
from phi3v_data.trainer.data.cost_model import sample_cost
from phi3v_data.trainer.phi3v.configuration import Phi3VConfig

PUBLISHED = Phi3VConfig(
    vocab_size=32064, hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=32
)


def cost(tokens: int, crops: int) -> float:
    return float(sample_cost(tokens, 30, crops, PUBLISHED))


costs_of_a_step = st.lists(st.integers(0, 1000) | st.floats(0, 1e15), max_size=40)


@given(costs_of_a_step, st.integers(1, 9), st.integers(1, 5))
def test_every_sample_is_assigned_once_and_every_rank_has_all_its_micro_batches(
    costs: list[float], ranks: int, micro_batches: int
) -> None:
    assigned = assign(costs, ranks, micro_batches)
    assert [len(rank) for rank in assigned] == [micro_batches] * ranks
    assert sorted(place for rank in assigned for part in rank for place in part) == list(range(len(costs)))
    assert all(part == sorted(part) for rank in assigned for part in rank)
    assert assign(costs, ranks, micro_batches) == assigned


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 5))
def test_no_rank_and_no_micro_batch_is_empty_while_there_are_enough_samples(
    costs: list[int], ranks: int, micro_batches: int
) -> None:
    for rank in assign(costs, ranks, micro_batches):
        samples = sum(map(len, rank))
        assert samples > 0 or len(costs) < ranks
        assert sum(1 for part in rank if part) == min(micro_batches, samples)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 9))
def test_the_costliest_rank_has_at_most_the_mean_and_one_sample_more(costs: list[int], ranks: int) -> None:
    loads = [sum(costs[place] for part in rank for place in part) for rank in assign(costs, ranks, 2)]
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
        costs = [cost(*lengths(draw)) for _ in range(64)]
        for micro_batches in (1, 4):
            assert imbalance(costs, assign(costs, 8, micro_batches)) < 0.05


def test_assigned_in_their_order_the_same_samples_would_be_out_of_balance() -> None:
    draw = random.Random(0)
    costs = [cost(*mixed(draw)) for _ in range(64)]
    assert imbalance(costs, [[list(range(first, first + 8))] for first in range(0, 64, 8)]) > 0.2


def test_micro_batches_that_run_at_the_same_time_cost_about_the_same() -> None:
    draw = random.Random(0)
    costs = [cost(*mixed(draw)) for _ in range(128)]
    assigned = assign(costs, 8, 4)
    for number in range(4):
        loads = [sum(costs[place] for place in rank[number]) for rank in assigned]
        assert max(loads) < 1.15 * sum(loads) / len(loads)


def test_a_step_of_nothing_is_in_balance() -> None:
    assert imbalance([], assign([], 3, 2)) == 0


sizes_of_a_step = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 30)), max_size=40)


@given(sizes_of_a_step, st.integers(1, 5), st.integers(1, 400), st.integers(1, 40))
def test_every_rank_has_as_many_micro_batches_and_none_but_a_larger_sample_is_over_the_budget(
    sizes: list[tuple[int, int]], ranks: int, tokens: int, crops: int
) -> None:
    budget = Budget(tokens, crops)
    of_tokens, of_crops = [size[0] for size in sizes], [size[1] for size in sizes]
    costs = [float(size[0]) for size in sizes]
    assigned = assign_by_budget(costs, of_tokens, of_crops, ranks, budget)
    assert len({len(rank) for rank in assigned}) == 1
    parts = [part for rank in assigned for part in rank]
    assert sorted(place for part in parts for place in part) == list(range(len(sizes)))
    for part in parts:
        if len(part) > 1:
            assert sum(of_tokens[place] for place in part) <= tokens
            assert sum(of_crops[place] for place in part) <= crops
    assert assign_by_budget(costs, of_tokens, of_crops, ranks, budget) == assigned


def test_a_budget_is_filled() -> None:
    draw = random.Random(0)
    sizes = [ucf(draw) for _ in range(64)]
    tokens, crops = [size[0] for size in sizes], [size[1] for size in sizes]
    costs = [cost(*size) for size in sizes]
    (rank,) = assign_by_budget(costs, tokens, crops, 1, Budget(16384, 10**6))
    assert len(rank) <= 1.1 * sum(tokens) / 16384 + 1
    held = [sum(tokens[place] for place in part) for part in rank]
    assert min(held) > 0.7 * 16384
