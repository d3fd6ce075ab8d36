"""What a run is going to read, before anything of it is run: tokens, crops, steps, padding, balance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from ..schema.index import Counting, RecordCosts, RecordIndex, record_costs
from ..schema.progress import Progress, silent
from .config import TrainConfig
from .data.assign import Assignment, Budget, assign, assign_by_budget, imbalance
from .data.cost_model import sample_cost, sample_sizes, strategy_passes
from .data.plan import Plan
from .data.sources import Source
from .data.training_data import TrainingData

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig

_STEPS = 256  # that are assigned, to see how well it goes
_BUDGET_TOKENS = 4096  # of a micro-batch, where a run would choose by the memory that it finds


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a number is spread over the records: the sum, the mean, the smallest, some percentiles, the largest."""

    total: int
    mean: float
    least: int
    p50: int
    p90: int
    p99: int
    most: int


class LongRecord(msgspec.Struct, frozen=True):
    """A record that has more tokens than were allowed."""

    id: str
    tokens: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """How well the samples of some steps are spread over ranks and micro-batches.

    Args:
        steps: that were looked at, from the first on.
        micro_batches: a rank in a step, on average.
        padding: share of the positions that would be padding, were the samples assigned in their order and each
            micro-batch padded to its longest.
        imbalance: by which share the costliest rank of a step exceeds the mean rank, on average.
        worst_imbalance: the same, of the worst step.
        imbalance_in_order: the average, were the samples assigned in their order.
    """

    steps: int
    micro_batches: float
    padding: float
    imbalance: float
    worst_imbalance: float
    imbalance_in_order: float


class DataEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is going to read.

    Args:
        records: in all datasets.
        faulty: of them, cannot be read or encoded.
        unanswered: of them, have a turn without an answer.
        too_long: of them, have more tokens than allowed; what follows is without them.
        batch_size: samples in an optimizer step.
        ranks: processes.
        epochs: how often as many samples as there are records.
        steps: optimizer steps.
        tokens: of a record, images included.
        supervised: of these, with a label.
        images: of a record.
        crops: of a record, as the tower sees them.
        crop_padding: share of the crops that would be padding, were each image padded to the most it may have.
        teraflop: operations to train on the mean record, forward and backward.
        balance: of the first steps.
    """

    records: int
    faulty: int
    unanswered: int
    too_long: list[LongRecord]
    batch_size: int
    ranks: int
    epochs: float
    steps: int
    tokens: Spread
    supervised: Spread
    images: Spread
    crops: Spread
    crop_padding: float
    teraflop: float
    balance: Balance


def estimate_data(
    sources: Sequence[Source],
    config: TrainConfig,
    counting: Counting,
    model: Phi3VConfig,
    ranks: int,
    progress: Progress = silent,
) -> DataEstimate:
    """Measure what a run is going to read.

    Args:
        sources: the datasets.
        config: batch, epochs, longest record, split.
        counting: what tokens follow from.
        model: the model's configuration, for its shapes.
        ranks: processes that train.
        progress: shows how many records of a dataset have been measured.

    Raises:
        DatasetError: there is nothing to read, or all records are too long.
    """
    data = TrainingData(sources, config.data, progress)
    indexes = [RecordIndex(source.dataset, split) for source, split in zip(sources, data.splits, strict=True)]
    costs = [record_costs(index, counting, progress=progress) for index in indexes]
    longest = config.data.max_tokens
    kept = [np.arange(len(of)) if longest is None else of.kept(longest) for of in costs]
    plan = data.plan(config.batch_size, config.seed, kept)
    tokens, supervised, images, crops = (
        np.concatenate([getattr(of, name)[shown] for of, shown in zip(costs, kept, strict=True)])
        for name in ("tokens", "supervised", "images", "crops")
    )
    steps = plan.steps(config.epochs)
    most_crops = int(images.sum()) * (counting.num_crops + 1)
    return DataEstimate(
        records=data.records,
        faulty=sum(len(of.faults) for of in costs),
        unanswered=sum(len(of.unanswered) for of in costs),
        too_long=[] if longest is None else _too_long(indexes, costs, longest),
        batch_size=config.batch_size,
        ranks=ranks,
        epochs=config.epochs,
        steps=steps,
        tokens=_spread(tokens),
        supervised=_spread(supervised),
        images=_spread(images),
        crops=_spread(crops),
        crop_padding=1 - int(crops.sum()) / most_crops if most_crops else 0.0,
        teraflop=float(np.mean(sample_cost(tokens, supervised, crops, model, strategy_passes(config)))) / 1e12,
        balance=_assign_steps(plan, min(steps, _STEPS), ranks, costs, model, config),
    )


def _too_long(indexes: Sequence[RecordIndex], costs: Sequence[RecordCosts], longest: int) -> list[LongRecord]:
    found = []
    for index, of in zip(indexes, costs, strict=True):
        numbers = of.too_long(longest).tolist()
        found += [LongRecord(*each) for each in zip(index.ids(numbers), of.tokens[numbers].tolist(), strict=True)]
    return found


def _spread(values: npt.NDArray[np.int64]) -> Spread:
    least, p50, p90, p99, most = (
        int(each) for each in np.percentile(values, [0, 50, 90, 99, 100], method="closest_observation")
    )
    total = int(values.sum())
    return Spread(total=total, mean=total / len(values), least=least, p50=p50, p90=p90, p99=p99, most=most)


def _assign_steps(
    plan: Plan, steps: int, ranks: int, costs: Sequence[RecordCosts], model: Phi3VConfig, config: TrainConfig
) -> Balance:
    passes = strategy_passes(config)
    sizes = [sample_sizes(of) for of in costs]
    prices = [sample_cost(of.tokens, of.supervised, of.crops, model, passes) for of in sizes]
    real = padded = 0
    micro_batches, ours, in_order = [], [], []
    for number in range(steps):
        samples = plan.step(number)
        tokens = [int(sizes[sample.dataset].tokens[sample.record]) for sample in samples]
        crops = [int(sizes[sample.dataset].crops[sample.record]) for sample in samples]
        price = [float(prices[sample.dataset][sample.record]) for sample in samples]
        assigned = _assigned(price, tokens, crops, ranks, config, model)
        micro_batches.append(len(assigned[0]))
        parts = np.array_split(tokens, ranks * len(assigned[0]))
        real += sum(tokens)
        padded += sum(len(part) * int(part.max()) for part in parts if len(part))
        ours.append(imbalance(price, assigned))
        in_order.append(imbalance(price, [[part.tolist()] for part in np.array_split(np.arange(len(price)), ranks)]))
    return Balance(
        steps=steps,
        micro_batches=float(np.mean(micro_batches)),
        padding=1 - real / padded if padded else 0.0,
        imbalance=float(np.mean(ours)),
        worst_imbalance=max(ours),
        imbalance_in_order=float(np.mean(in_order)),
    )


def _assigned(
    price: list[float], tokens: list[int], crops: list[int], ranks: int, config: TrainConfig, model: Phi3VConfig
) -> Assignment:
    if config.accumulate is not None:
        return assign(price, ranks, config.accumulate)
    most = _BUDGET_TOKENS if config.micro_batch_tokens == "auto" else config.micro_batch_tokens
    most_crops = config.micro_batch_crops or max(1, most // model.crop_geometry.tokens_per_side**2)
    return assign_by_budget(price, tokens, crops, ranks, Budget(most, most_crops))
