"""Hands the plan to the workers and notes what comes back; decides when enough has gone wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ...schema.errors import ConversionStopped
from .journal import Journal
from .messages import Failed, Failure, Halted, Work, decode_outcome
from .plan import Plan
from .pool import Executor
from .progress import Progress

__all__ = ["FAILURES_IN_A_ROW", "Driver", "OnError"]

OnError = Literal["quarantine", "fail"]

# So many items failing one after the other are no accident of the data.
FAILURES_IN_A_ROW = 50


@dataclass
class Driver:
    """What one run does between planning and assembly.

    Args:
        plan: every item.
        journal: what is settled already, and where the rest is noted.
        on_error: quarantine an item that fails, or stop at the first.
        progress: told of every item.
    """

    plan: Plan
    journal: Journal
    on_error: OnError
    progress: Progress
    _failing: set[int | str] = field(default_factory=set)  # in a row; those that share an image count once

    def run(self, executor: Callable[[int], Executor]) -> None:
        """Convert every item that is not settled yet.

        Args:
            executor: makes the executor, told how many items there are for it.

        Raises:
            ConversionStopped: the machine failed, too many items did in a row, or one did and none may.
        """
        done, failed = self.journal.count()
        refused = self._refused()
        asked = sum(split.discovered - split.skipped for split in self.plan.splits.values())
        settled = done + failed + refused
        if done or failed:
            self.progress.say(f"going on where an earlier run stopped: {settled} of {asked} items are settled")
        if settled == asked:
            return
        with self.progress.work(asked, settled, failed + refused), executor(asked - settled) as workers:
            for line in workers.run(self._open()):
                self._note(line)

    def _refused(self) -> int:
        count = 0
        for planned in self.plan:
            if planned.failure is not None:
                self._stop_if_asked(planned.item.path, planned.failure)
                count += 1
        return count

    def _open(self) -> Iterator[Work]:
        for index, planned in enumerate(self.plan):
            if not planned.skipped and planned.failure is None and not self.journal.settled(index):
                yield Work(index, planned.item)

    def _note(self, line: bytes) -> None:
        outcome = decode_outcome(line)
        if isinstance(outcome, Halted):
            raise ConversionStopped(f"{outcome.message}; what was done is kept: mend it and run the same command again")
        if not isinstance(outcome, Failed):
            self._failing.clear()
            self.journal.append(line, outcome)
            self.progress.advance(quarantined=False)
            return
        self._stop_if_asked(outcome.path, outcome.failure)
        self._failing.add(outcome.shared or outcome.index)
        self.journal.append(line, outcome)
        self.progress.advance(quarantined=True)
        if len(self._failing) >= FAILURES_IN_A_ROW:
            raise ConversionStopped(
                f"{FAILURES_IN_A_ROW} items in a row failed, the last: {_told(outcome.path, outcome.failure)}; what "
                "was done is kept: mend the cause and run the same command with --retry-quarantined"
            )

    def _stop_if_asked(self, path: str, failure: Failure) -> None:
        if self.on_error == "fail":
            raise ConversionStopped(f"stopped at the first failure, as --on-error fail asks: {_told(path, failure)}")


def _told(path: str, failure: Failure) -> str:
    return f"{path} ({failure.stage}: {failure.exception}: {failure.message})"
