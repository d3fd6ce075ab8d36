"""The order of one dataset's records, pass after pass over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .permutation import permutations

# Keep these permutations apart from those of a mixture, and from one another.
_OF_SHARDS, _OF_RECORDS = 2, 3
# A step may reach across a pass's end; besides, the shards ahead are looked up while it is under way.
_BLOCKS_KEPT = 3


class ShardTurns(NamedTuple):
    """A shard, and the first and last of a dataset's turns that show a record of it while its block lasts."""

    shard: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _Block:
    """Turns `[first, first + len(records))`: the record of each, and the shard that holds it."""

    first: int
    records: npt.NDArray[np.int64]
    shards: npt.NDArray[np.int64]


class Passes:
    """An endless sequence of turns, each showing one record; every pass shows each record once.

    The shards are permuted and cut into blocks of about the same number of shards, and the records of a block are
    permuted: so a shard is needed while its block lasts, and never again in that pass. Records that are in no shards
    are one shard.

    Args:
        dataset: its number among those of the plan; each has orders of its own.
        sizes: records in each shard, in order.
        kept: the records that are shown, ascending; None for all.
        shards_per_block: how many shards make a block, at most.
        seed: of the orders.
    """

    def __init__(
        self,
        dataset: int,
        sizes: npt.NDArray[np.int64],
        kept: npt.NDArray[np.int64] | None,
        shards_per_block: int,
        seed: int,
    ) -> None:
        self._dataset, self._seed = dataset, seed
        self._kept = kept
        ends = np.cumsum(sizes)
        self._bounds = np.concatenate([[0], ends if kept is None else np.searchsorted(kept, ends)])
        blocks = -(-len(sizes) // shards_per_block)
        self._edges = np.arange(blocks + 1) * len(sizes) // blocks
        self._blocks: dict[tuple[int, int], _Block] = {}
        self.length = int(self._bounds[-1])

    def records(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """Return the records of turns `[first, first + count)`."""
        parts = []
        while count:
            block = self._block_of(first)
            parts.append(block.records[first - block.first :][:count])
            first, count = first + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def shards(self, turn: int) -> Iterator[ShardTurns]:
        """Yield the shards in the order in which they are needed from a turn on, without end."""
        while True:
            block = self._block_of(turn)
            shards, first = np.unique(block.shards, return_index=True)
            last = len(block.shards) - 1 - np.unique(block.shards[::-1], return_index=True)[1]
            for which in np.argsort(first):
                need = ShardTurns(int(shards[which]), block.first + int(first[which]), block.first + int(last[which]))
                if need.last >= turn:
                    yield need
            turn = block.first + len(block.records)

    def _block_of(self, turn: int) -> _Block:
        passed, offset = divmod(turn, self.length)
        order = permutations((self._seed, _OF_SHARDS, self._dataset, passed, 0), 1, len(self._bounds) - 1)[0]
        sizes = np.diff(self._bounds)[order]
        ends = np.cumsum(sizes)[self._edges[1:] - 1]
        number = int(np.searchsorted(ends, offset, side="right"))
        key = (passed, number)
        if key not in self._blocks:
            while len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            shards = order[self._edges[number] : self._edges[number + 1]]
            start = int(ends[number - 1]) if number else 0
            self._blocks[key] = self._make_block(passed, number, passed * self.length + start, shards)
        return self._blocks[key]

    def _make_block(self, passed: int, number: int, first: int, shards: npt.NDArray[np.int64]) -> _Block:
        ranges = [np.arange(self._bounds[shard], self._bounds[shard + 1]) for shard in shards]
        numbers = np.concatenate(ranges)
        order = permutations((self._seed, _OF_RECORDS, self._dataset, passed, number), 1, len(numbers))[0]
        records = numbers if self._kept is None else self._kept[numbers]
        of_shard = np.repeat(shards, [len(each) for each in ranges])
        return _Block(first, records[order], of_shard[order])
