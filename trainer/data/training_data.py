"""What a run is trained on: the records of one split of each dataset, checked before anything is loaded for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...schema.errors import DatasetError
from ...schema.index import Counting, RecordCosts, RecordIndex, record_costs
from ...schema.progress import Progress, silent
from ..config import DataConfig
from .cost_model import SampleSize, sample_sizes
from .plan import Plan, SampleRef, Stream
from .sources import Source, steady
from .splits import training_split

if TYPE_CHECKING:
    from ..phi3v import Phi3VProcessor

_NAMED = 20  # records that an error names


class TrainingData:
    """The records of the split to train on, of each dataset.

    Args:
        sources: the datasets.
        config: names the split, and how shards are read.
        progress: shows how far the index of the records is.

    Raises:
        DatasetError: a dataset has no such split, or no records in it.
    """

    def __init__(self, sources: Sequence[Source], config: DataConfig, progress: Progress = silent) -> None:
        self.config = config
        self.sources = sources
        self.splits = [training_split(source.dataset, config.train_split) for source in sources]
        self.indexes = [
            RecordIndex(source.dataset, split, progress)
            for source, split in zip(steady(sources, config), self.splits, strict=True)
        ]

    @property
    def records(self) -> int:
        """Number of records in all."""
        return sum(len(index) for index in self.indexes)

    def plan(self, batch_size: int, seed: int, kept: Sequence[npt.NDArray[np.int64] | None] | None = None) -> Plan:
        """Return the order of all samples.

        Args:
            batch_size: samples in an optimizer step.
            seed: of the order.
            kept: the records of each dataset that are shown; None for all of them.
        """
        streams = [
            Stream(len(index), index.shard_sizes(), shown, source.weight, self.config.shards_per_block)
            for index, source, shown in zip(self.indexes, self.sources, kept or [None] * len(self.indexes), strict=True)
        ]
        return Plan(streams, batch_size, seed)

    def measure(
        self,
        processor: Phi3VProcessor,
        log: Callable[[str], None] = lambda line: None,
        progress: Progress = silent,
        *,
        resumed: bool = False,
    ) -> MeasuredData:
        """Count tokens and crops of every record, and refuse what cannot be trained on.

        Args:
            processor: the model's own.
            log: called with a line about what is left out.
            progress: shows how many records have been measured.
            resumed: whether images that vanished meanwhile are left to be met as bad samples.

        Raises:
            DatasetError: records without an answer, too long, or with an image that cannot be read; names them.
        """
        longest = self.config.max_tokens or processor.tokenizer.model_max_length
        counting = Counting.of(processor)
        measured = []
        for source, split in zip(self.sources, self.splits, strict=True):
            # By the folder itself: headers alone are read, not whole shards.
            index = RecordIndex(source.dataset, split)
            costs = record_costs(index, counting, progress=progress)
            where = f"{index.dataset.folder.address}, split {split}"
            _refuse_unanswered(where, index, costs)
            _refuse_faulty(where, index, costs, log, resumed=resumed)
            _refuse_too_long(where, index, costs, longest, log, drop=self.config.too_long == "drop")
            measured.append(costs)
        return MeasuredData(self, measured, [costs.kept(longest) for costs in measured])


class MeasuredData:
    """Training data of which all costs are known.

    Args:
        data: the records.
        costs: of each dataset.
        kept: the records of each dataset that are trained on.
    """

    def __init__(self, data: TrainingData, costs: Sequence[RecordCosts], kept: Sequence[npt.NDArray[np.int64]]) -> None:
        self.data = data
        self._costs = costs
        self._kept = kept
        self._sizes = [sample_sizes(each) for each in costs]

    @cached_property
    def digest(self) -> str:
        """The SHA-256, in hex, over the datasets, their splits, and which of their records are kept."""
        digest = hashlib.sha256()
        for split, index, kept in zip(self.data.splits, self.data.indexes, self._kept, strict=True):
            digest.update(f"{split} {index.dataset.digest()} ".encode() + kept.tobytes())
        return digest.hexdigest()

    def plan(self, batch_size: int, seed: int) -> Plan:
        """Return the order of the samples that are kept."""
        whole = [len(kept) == len(costs) for kept, costs in zip(self._kept, self._costs, strict=True)]
        shown = [None if all_of_it else kept for all_of_it, kept in zip(whole, self._kept, strict=True)]
        return self.data.plan(batch_size, seed, shown)

    def sizes(self, samples: Sequence[SampleRef]) -> SampleSize:
        """Return the sizes of samples, in their order, as the index has them."""
        rows = [[column[sample.record] for column in self._sizes[sample.dataset]] for sample in samples]
        return SampleSize(*np.array(rows, dtype=np.int64).reshape(-1, len(SampleSize._fields)).T)

    def ids(self, samples: Sequence[SampleRef]) -> list[str]:
        """Return the record ids of samples."""
        return [self.data.indexes[sample.dataset].ids([sample.record])[0] for sample in samples]


def _refuse_unanswered(where: str, index: RecordIndex, costs: RecordCosts) -> None:
    if len(costs.unanswered):
        named = index.ids(costs.unanswered[:_NAMED].tolist())
        listed = ", ".join(named) + _more(len(costs.unanswered))
        hint = "nothing in them is supervised; train on another split"
        raise DatasetError(f"{where}: records without an answer: {len(costs.unanswered)} ({listed}); {hint}")


def _refuse_faulty(
    where: str, index: RecordIndex, costs: RecordCosts, log: Callable[[str], None], *, resumed: bool
) -> None:
    if not costs.faults:
        return
    number, reason = next(iter(costs.faults.items()))
    (first,) = index.ids([number])
    named = ", ".join(index.ids(list(costs.faults)[:_NAMED])) + _more(len(costs.faults))
    found = f"{where}: records that cannot be read: {len(costs.faults)} ({named}); of {first}, {reason}"
    if not resumed:
        raise DatasetError(f"{found}; fix or remove them")
    log(f"{found}; each will be counted as a bad sample when its turn comes")


def _refuse_too_long(
    where: str, index: RecordIndex, costs: RecordCosts, longest: int, log: Callable[[str], None], *, drop: bool
) -> None:
    numbers = costs.too_long(longest)
    if not len(numbers):
        return
    shown = numbers[:_NAMED]
    lengths = zip(index.ids(shown.tolist()), costs.tokens[shown].tolist(), strict=True)
    named = ", ".join(f"{identity}: {tokens}" for identity, tokens in lengths) + _more(len(numbers))
    found = f"{where}: records of more than {longest} tokens: {len(numbers)} ({named})"
    if not drop:
        raise DatasetError(f"{found}; use fewer crops (--set data.num_crops), or leave them out: --too-long drop")
    log(f"{found}; left out")


def _more(count: int) -> str:
    return f" and {count - _NAMED} more" if count > _NAMED else ""
