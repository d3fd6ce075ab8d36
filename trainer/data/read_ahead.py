"""Fetching shards before they are needed, in the order of the plan."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...schema.errors import UsageError
from .plan import ShardNeed
from .steady_folder import SteadyFolder


@dataclass(eq=False)
class _Shard:
    need: ShardNeed
    folder: SteadyFolder
    name: str
    size: int = 0
    there: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return self.need.dataset, self.need.shard


class ReadAhead:
    """A thread that fetches the shards of the steps to come, as many as fit, and releases those that are over.

    One a node is enough: its copies are for all of the node's processes. A context manager.

    Args:
        needs: the shards in the order in which they are needed, see `Plan.shards_from`.
        datasets: for each dataset of the plan, its folder and the names of its shards; None where it is read otherwise.
        budget: bytes of shards that are needed, or going to be, at a time.
    """

    def __init__(
        self, needs: Iterator[ShardNeed], datasets: Sequence[tuple[SteadyFolder, Sequence[str]] | None], budget: int
    ) -> None:
        self._needs = needs
        self._datasets = datasets
        self._budget = budget
        self._step = 0
        self._stopped = False
        self._error: BaseException | None = None
        self._moved = threading.Condition()
        # Those still to be fetched, in order; and those whose copies are to stay for now.
        self._coming: deque[_Shard] = deque()
        self._wanted: list[_Shard] = []
        # The first of those that are not needed yet, if it was looked at.
        self._peeked: _Shard | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._moved:
            self._stopped = True
            self._moved.notify_all()

    def advance(self, step: int) -> None:
        """Say which optimizer step is going to be read now, and wait until the shards for it are there.

        Raises:
            UsageError: the shards that are mixed with one another do not fit.
            RunError: a shard could not be fetched.
        """
        with self._moved:
            self._step = step
            while (shard := self._next()) is not None and shard.need.first <= step:
                self._wanted.append(shard)
                self._coming.append(shard)
                self._peeked = None
            self._release_what_is_over()
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._error or all(shard.there for shard in self._needed_now()))
            if self._error is not None:
                raise self._error

    def _needed_now(self) -> Iterator[_Shard]:
        return (shard for shard in self._wanted if shard.need.first <= self._step)

    def _next(self) -> _Shard | None:
        """Return the next shard that nobody wants yet, without taking it."""
        while self._peeked is None:
            need = next(self._needs, None)
            if need is None:
                return None
            of_dataset = self._datasets[need.dataset]
            if of_dataset is not None:
                folder, names = of_dataset
                self._peeked = _Shard(need, folder, names[need.shard])
        return self._peeked

    def _run(self) -> None:
        try:
            while (shard := self._take()) is not None:
                shard.folder.fetch(shard.name)
                with self._moved:
                    shard.there = True
                    self._moved.notify_all()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the shards raises it
            with self._moved:
                self._error = error
                self._moved.notify_all()

    def _take(self) -> _Shard | None:
        """Wait until a shard is to be fetched; None when there is no more to do."""
        while not self._stopped:
            with self._moved:
                shard = self._coming.popleft() if self._coming else self._next()
            if shard is None:
                return None
            # Asks the store, so nobody is kept waiting for it.
            shard.size = shard.folder.size(shard.name)
            with self._moved:
                if self._wants(shard):
                    return shard
        return None

    def _wants(self, shard: _Shard) -> bool:
        """Tell whether a shard is to be fetched now; waits for room if it is not needed yet."""
        while not self._stopped:
            if shard is self._peeked and self._coming:
                # Those that are needed now come first, and their sizes count.
                return False
            others = sum(each.size for each in self._wanted if each.place != shard.place)
            if others + shard.size <= self._budget:
                if shard is self._peeked:
                    self._peeked = None
                    self._wanted.append(shard)
                return True
            if shard.need.first <= self._step:
                hint = "allow more with --set data.cache_gb, or mix fewer with --set data.shards_per_block"
                raise UsageError(
                    f"the shards mixed at step {self._step} have {others + shard.size:,} bytes, and {self._budget:,} "
                    f"are for copies of shards on this disk; {hint}"
                )
            self._moved.wait()
        return False

    def _release_what_is_over(self) -> None:
        over = [shard for shard in self._wanted if shard.need.last < self._step]
        self._wanted = [shard for shard in self._wanted if shard.need.last >= self._step]
        # The next pass may want it again already.
        still = {shard.place for shard in self._wanted}
        for shard in over:
            if shard.place not in still:
                shard.folder.release(shard.name)
