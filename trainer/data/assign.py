"""Assigning the samples of one optimizer step to ranks and micro-batches, so that none waits long for another."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

# For each rank, for each of its micro-batches, the places of its samples in the step, ascending.
Assignment: TypeAlias = "list[list[list[int]]]"


class Budget(NamedTuple):
    """The most that a micro-batch holds, unless a single sample is larger.

    Args:
        tokens: ids, images included.
        crops: what the vision tower sees.
    """

    tokens: int
    crops: int


def assign(costs: Sequence[float], ranks: int, micro_batches: int) -> Assignment:
    """Assign the samples of a step to a fixed number of micro-batches a rank.

    A pure function. The costliest sample goes to the cheapest rank, until all are assigned; then samples are moved and
    exchanged as long as that makes the costliest rank cheaper. Each rank's costliest micro-batch comes first, so that
    ranks that wait for one another after every micro-batch wait little.

    Args:
        costs: of each sample of the step, in its order.
        ranks: how many processes there are.
        micro_batches: of each rank.

    Returns:
        A micro-batch is empty where a rank has fewer samples than micro-batches.
    """
    return [
        _ordered(_balanced(samples, costs, micro_batches), costs)
        for samples in _balanced(range(len(costs)), costs, ranks)
    ]


def assign_by_budget(
    costs: Sequence[float], tokens: Sequence[int], crops: Sequence[int], ranks: int, budget: Budget
) -> Assignment:
    """Assign the samples of a step to as few micro-batches a rank as a budget allows, the same number on every rank.

    A pure function. Samples are spread over the ranks as by `assign`; then each rank's are packed into the smallest
    number of micro-batches with which every rank stays within the budget, as even in cost as that allows. A sample
    larger than the budget is a micro-batch of its own.

    Args:
        costs: of each sample of the step, in its order.
        tokens: the same.
        crops: the same.
        ranks: how many processes there are.
        budget: what a micro-batch holds.
    """
    by_rank = _balanced(range(len(costs)), costs, ranks)
    load = [max(tokens[place] / budget.tokens, crops[place] / budget.crops) for place in range(len(costs))]
    least = max(_fewest(samples, tokens, crops, budget) for samples in by_rank)
    for micro_batches in itertools.count(max(1, least)):
        packed = [_packed(samples, costs, tokens, crops, load, micro_batches, budget) for samples in by_rank]
        if all(of_rank is not None for of_rank in packed):
            return [_ordered(of_rank, costs) for of_rank in packed if of_rank is not None]
    raise AssertionError("one sample a micro-batch always fits")  # pragma: no cover


def imbalance(costs: Sequence[float], assigned: Assignment) -> float:
    """Return by which part of the mean the costliest rank exceeds it: 0 is perfect."""
    loads = [sum(costs[place] for part in rank for place in part) for rank in assigned]
    mean = sum(loads) / len(loads)
    return max(loads) / mean - 1 if mean else 0.0


def _ordered(parts: list[list[int]], costs: Sequence[float]) -> list[list[int]]:
    return [sorted(part) for part in sorted(parts, key=lambda part: -sum(costs[place] for place in part))]


def _fewest(samples: Sequence[int], tokens: Sequence[int], crops: Sequence[int], budget: Budget) -> int:
    """Return a number of micro-batches below which these samples cannot fit."""
    in_tokens = sum(min(tokens[place], budget.tokens) for place in samples) / budget.tokens
    in_crops = sum(min(crops[place], budget.crops) for place in samples) / budget.crops
    return math.ceil(max(in_tokens, in_crops))


def _packed(
    samples: Sequence[int],
    costs: Sequence[float],
    tokens: Sequence[int],
    crops: Sequence[int],
    load: Sequence[float],
    micro_batches: int,
    budget: Budget,
) -> list[list[int]] | None:
    """Pack samples into so many micro-batches: the largest first, each where it fits and the cost is least."""
    parts: list[list[int]] = [[] for _ in range(micro_batches)]
    cost, held_tokens, held_crops = [0.0] * micro_batches, [0] * micro_batches, [0] * micro_batches
    for place in sorted(samples, key=lambda place: (-load[place], place)):
        fits = [
            number
            for number in range(micro_batches)
            if not parts[number]
            or (
                held_tokens[number] + tokens[place] <= budget.tokens
                and held_crops[number] + crops[place] <= budget.crops
            )
        ]
        if not fits:
            return None
        best = min(fits, key=lambda number: (cost[number], number))
        parts[best].append(place)
        cost[best] += costs[place]
        held_tokens[best] += tokens[place]
        held_crops[best] += crops[place]
    return parts


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
