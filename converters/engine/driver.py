"""Gives the plan's items to the workers and notes what comes back; decides when enough has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ...schema.errors import ConversionStopped
from ...schema.wording import counted
from .journal import Journal
from .messages import Failed, Failure, Halted, Work, decode_outcome
from .plan import Plan
from .pool import WorkerPool

__all__ = ["FAILURES_IN_A_ROW", "Driver", "OnError", "Progress"]

OnError = Literal["quarantine", "fail"]

# So many items failing one after the other are no accident of the data.
FAILURES_IN_A_ROW = 50


class Progress:
    """Is told how far a conversion is; this one shows nothing."""

    def log(self, text: str) -> None:
        """Take one line about the run as a whole."""

    def show(self, what: str, unit: str, done: int, total: int) -> None:
        """Take how far what comes before and after the items is; see `schema.progress.Progress`."""

    def advance(self, settled: int, total: int, quarantined: int) -> None:
        """Take how many of the items asked for are settled, and how many of these are quarantined."""


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

    def run(self, executor: Callable[[int], WorkerPool]) -> None:
        """Convert every item that is not settled yet.

        Args:
            executor: makes the executor, given the number of items for it.

        Raises:
            ConversionStopped: the machine failed, too many items did in a row, or one did and none may.
        """
        first = self.plan.first_failed
        if first is not None and first.failure is not None:
            self._stop_if_asked(first.item.path, first.failure)
        done, failed = self.journal.count()
        total = sum(split.discovered - split.skipped for split in self.plan.splits.values())
        self._settled, self._quarantined = done + failed + self.plan.failed, failed + self.plan.failed
        if self.journal.damaged:
            self.progress.log(f"damaged lines in the journal: {self.journal.damaged}; their items are converted again")
        if done or failed:
            self.progress.log(f"resuming: {self._settled:,} of {counted(total, 'item')} settled")
        if self._settled == total:
            return
        with executor(total - self._settled) as workers:
            self.progress.advance(self._settled, total, self._quarantined)
            for outcome in workers.run(self._unsettled()):
                self._note(outcome)
                self.progress.advance(self._settled, total, self._quarantined)

    def _unsettled(self) -> Iterator[Work]:
        for index, planned in enumerate(self.plan):
            if not planned.skipped and planned.failure is None and not self.journal.is_settled(index):
                yield Work(index, planned.item)

    def _note(self, encoded: bytes) -> None:
        outcome = decode_outcome(encoded)
        if isinstance(outcome, Halted):
            raise ConversionStopped(f"{outcome.message}; fix it and rerun: progress is kept")
        if isinstance(outcome, Failed):
            self._stop_if_asked(outcome.path, outcome.failure)
            self._failing.add(outcome.shared or outcome.index)
        else:
            self._failing.clear()
        self.journal.append(encoded, outcome)
        self._settled += 1
        self._quarantined += isinstance(outcome, Failed)
        if isinstance(outcome, Failed) and len(self._failing) >= FAILURES_IN_A_ROW:
            raise ConversionStopped(
                f"{FAILURES_IN_A_ROW} items in a row failed, the last: {_described(outcome.path, outcome.failure)}; "
                "fix it and rerun with --retry-quarantined: progress is kept"
            )

    def _stop_if_asked(self, path: str, failure: Failure) -> None:
        if self.on_error == "fail":
            raise ConversionStopped(f"stopped at the first failure (--on-error fail): {_described(path, failure)}")


def _described(path: str, failure: Failure) -> str:
    return f"{path} ({failure.stage}: {failure.exception}: {failure.message})"
