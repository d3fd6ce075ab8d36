"""Plan and journal read together: what became of every item, in the plan's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..base import Item
from .journal import Journal
from .messages import Done, Failure
from .plan import Plan

__all__ = ["Outcomes", "Settled"]


@dataclass(frozen=True)
class Settled:
    """One item that was asked for, and its record or why it has none."""

    item: Item
    result: bytes | Failure


@dataclass(frozen=True)
class Outcomes:
    """What became of every item that was asked for. Iterating gives the settled ones, as often as needed."""

    plan: Plan
    journal: Journal

    def __iter__(self) -> Iterator[Settled]:
        for index, planned in enumerate(self.plan):
            if planned.failure is not None:
                yield Settled(planned.item, planned.failure)
            elif not planned.skipped:
                outcome = self.journal.outcome(index)
                if outcome is not None:
                    yield Settled(planned.item, bytes(outcome.record) if isinstance(outcome, Done) else outcome.failure)

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Yield split and record of every item that has one."""
        for settled in self:
            if isinstance(settled.result, bytes):
                yield settled.item.split, settled.result
