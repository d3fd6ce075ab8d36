"""How the samples of one optimizer step are dealt to ranks and micro-batches, so that none waits long for another."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..phi3v import Phi3VConfig

__all__ = ["deal", "imbalance", "sample_cost"]

Number = TypeVar("Number", int, "npt.NDArray[np.int64]")

# Forward, and twice as much backward.
_PASSES = 3


def sample_cost(tokens: Number, crops: Number, config: Phi3VConfig) -> Number:
    """Return the floating-point operations of training on one sample, forward and backward.

    A matrix of n weights takes 2n a position; attention takes 4 x width a layer and pair of positions, of which the
    language model, being causal, needs half. The tower's last layer is not run. Phi-3.5-vision at 2443 tokens and 17
    crops comes to 77 TFLOP, a quarter of it in the tower.

    Args:
        tokens: the sample's ids, images included; one number or an array.
        crops: what the tower sees: sub-crops, and one global crop an image.
        config: the model's, for its shapes.
    """
    text, tower, geometry = config, config.tower_config, config.crop_geometry
    heads = text.num_attention_heads
    head = text.hidden_size // heads
    keys = (text.num_key_value_heads or heads) * head
    layer = text.hidden_size * (2 * heads * head + 2 * keys) + 3 * text.hidden_size * text.intermediate_size
    weights = text.num_hidden_layers * layer + text.hidden_size * text.vocab_size
    language = tokens * (2 * weights + 2 * text.num_hidden_layers * heads * head * tokens)

    positions = (2 * geometry.tokens_per_side) ** 2 + 1
    width, layers = tower.hidden_size, tower.num_hidden_layers - 1
    tower_weights = layers * (4 * width**2 + 2 * width * tower.intermediate_size)
    projection = geometry.tokens_per_side**2 * (4 * width + text.hidden_size) * text.hidden_size
    vision = crops * (2 * positions * tower_weights + 4 * layers * width * positions**2 + 2 * projection)
    return _PASSES * (language + vision)


def deal(costs: Sequence[float], ranks: int, pieces: int) -> list[list[list[int]]]:
    """Deal the samples of a step: to ranks so that the costliest has little more than the mean, then to micro-batches.

    A pure function. The costliest sample goes to the cheapest rank, until all are dealt; then samples are moved and
    exchanged as long as that makes the costliest rank cheaper. Each rank's costliest micro-batch comes first, so that
    ranks that wait for one another after every micro-batch wait little.

    Args:
        costs: of each sample of the step, in its order.
        ranks: how many processes there are.
        pieces: micro-batches a rank.

    Returns:
        For each rank, for each of its micro-batches, the places of its samples in the step, ascending. A micro-batch is
        empty where a rank has fewer samples than micro-batches.
    """
    by_rank = _balanced(range(len(costs)), costs, ranks)
    dealt = []
    for samples in by_rank:
        parts = _balanced(samples, costs, pieces)
        parts.sort(key=lambda part: -sum(costs[place] for place in part))
        dealt.append([sorted(part) for part in parts])
    return dealt


def imbalance(costs: Sequence[float], dealt: Sequence[Sequence[Sequence[int]]]) -> float:
    """Return by which part of the mean the costliest rank exceeds it: 0 is perfect."""
    loads = [sum(costs[place] for part in rank for place in part) for rank in dealt]
    mean = sum(loads) / len(loads)
    return max(loads) / mean - 1 if mean else 0.0


def _balanced(places: Sequence[int], costs: Sequence[float], bins: int) -> list[list[int]]:
    filled: list[list[int]] = [[] for _ in range(bins)]
    # Cheapest first; among equals the one with fewer samples, then the first.
    heap = [(0.0, 0, number) for number in range(bins)]
    for place in sorted(places, key=lambda place: (-costs[place], place)):
        load, count, number = heap[0]
        filled[number].append(place)
        heapq.heapreplace(heap, (load + costs[place], count + 1, number))
    _exchange(filled, costs)
    return filled


def _exchange(filled: list[list[int]], costs: Sequence[float]) -> None:
    """Make the costliest bin cheaper by trades with the cheapest one, as long as there is one that helps."""
    loads = [float(sum(costs[place] for place in part)) for part in filled]
    for _ in range(4 * len(filled)):
        high = max(range(len(filled)), key=loads.__getitem__)
        low = min(range(len(filled)), key=loads.__getitem__)
        gap = loads[high] - loads[low]
        trade = _best_trade([costs[place] for place in filled[high]], [costs[place] for place in filled[low]], gap)
        if trade is None:
            return
        given, taken, moved = trade
        out = filled[high].pop(given)
        if taken is not None:
            filled[high].append(filled[low].pop(taken))
        filled[low].append(out)
        loads[high] -= moved
        loads[low] += moved


def _best_trade(high: list[float], low: list[float], gap: float) -> tuple[int, int | None, float] | None:
    """Find what to give from the costlier bin, and what to take for it, if anything, to leave them most alike."""
    # Trades that win next to nothing are not worth it, and rounding could make them go in circles.
    least = 1e-3 * gap
    if not gap > 0:
        return None
    moved = np.array(high)[:, None] - np.array([*low, 0.0])[None, :]
    helps = (moved > least) & (moved < gap - least)
    if not helps.any():
        return None
    best = int(np.argmin(np.where(helps, np.abs(moved - gap / 2), np.inf)))
    given, taken = divmod(best, moved.shape[1])
    return given, (taken if taken < len(low) else None), float(moved[given, taken])
