"""Fetching shards before they are needed, in the order of the plan."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...schema.errors import Phi3VDataError, UsageError
from .plan import ShardNeed
from .steady_folder import SteadyFolder

__all__ = ["ReadAhead"]


class _Held(NamedTuple):
    last: int
    size: int
    folder: SteadyFolder
    name: str


class ReadAhead:
    """A thread that fetches the shards of the steps to come, as many as fit, and releases those that are over.

    One a node is enough: its copies are for all of the node's processes. A context manager.

    Args:
        needs: the shards in the order in which they are needed, see `Plan.shards_from`.
        datasets: for each dataset of the plan, its folder and the names of its shards.
        budget: bytes of shards that are needed, or going to be, at a time.
    """

    def __init__(
        self, needs: Iterable[ShardNeed], datasets: Sequence[tuple[SteadyFolder, Sequence[str]] | None], budget: int
    ) -> None:
        self._needs = needs
        self._datasets = datasets
        self._budget = budget
        self._step = 0
        self._moved = threading.Condition()
        self._stopped = False
        self._held: list[_Held] = []
        self._trouble: Phi3VDataError | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._moved:
            self._stopped = True
            self._moved.notify()

    def advance(self, step: int) -> None:
        """Say which optimizer step is being read now.

        Raises:
            UsageError: the shards of one step do not fit.
            RunError: a shard could not be fetched.
        """
        with self._moved:
            if self._trouble is not None:
                raise self._trouble
            self._step = step
            self._moved.notify()

    def _run(self) -> None:
        try:
            for need in self._needs:
                of_dataset = self._datasets[need.dataset]
                if of_dataset is None:
                    continue
                folder, names = of_dataset
                name = names[need.shard]
                size = folder.size(name)
                if not self._wait_for_room(need, size):
                    return
                folder.fetch(name)
                self._held.append(_Held(need.last, size, folder, name))
        except Phi3VDataError as error:
            with self._moved:
                self._trouble = error

    def _wait_for_room(self, need: ShardNeed, size: int) -> bool:
        """Wait until a shard of this size fits beside those that are needed; False when there is no more to do."""
        with self._moved:
            while not self._stopped:
                self._release_what_is_over()
                together = size + sum(shard.size for shard in self._held)
                if together <= self._budget:
                    return True
                if need.first <= self._step:
                    hint = "allow more with --set data.cache_gb, or mix fewer with --set data.shards_per_block"
                    raise UsageError(
                        f"step {self._step} reads shards of {together:,} bytes, and {self._budget:,} are for copies of "
                        f"them on this disk; {hint}"
                    )
                self._moved.wait()
        return False

    def _release_what_is_over(self) -> None:
        over = [shard for shard in self._held if shard.last < self._step]
        self._held = [shard for shard in self._held if shard.last >= self._step]
        # The next pass may have asked for it again already.
        wanted = {(id(shard.folder), shard.name) for shard in self._held}
        for shard in over:
            if (id(shard.folder), shard.name) not in wanted:
                shard.folder.release(shard.name)
