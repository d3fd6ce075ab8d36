"""Samples that could not be read in the middle of a run: counted, named, never replaced, and not too many in a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from ...schema.errors import RunError
from ...schema.wording import counted

# The last ones are named in a checkpoint, which is to stay small.
_NAMED = 4
_LONGEST_NAME = 80


class BadSample(NamedTuple):
    """A sample that could not be read: its place in the optimizer step, its record's id, and why."""

    place: int
    id: str
    reason: str


class BadSamples(msgspec.Struct, kw_only=True):
    """What a run could not read so far. What a checkpoint holds of it is this struct as JSON.

    Args:
        count: how many, over all ranks.
        in_a_row: how many of them came last, one after the other in the order of the plan.
        last: the ids of the last few.
    """

    count: int = 0
    in_a_row: int = 0
    last: list[str] = msgspec.field(default_factory=list)

    def add(self, samples: int, bad: Iterable[BadSample], limit: int) -> None:
        """Take in one optimizer step.

        Args:
            samples: how many there are in a step.
            bad: those of the step that could not be read, of all ranks.
            limit: so many in a row are too many.

        Raises:
            RunError: there were; names the last of them.
        """
        by_place = {sample.place: sample for sample in bad}
        for place in range(samples):
            sample = by_place.get(place)
            if sample is None:
                self.in_a_row = 0
                continue
            self.count += 1
            self.in_a_row += 1
            self.last = [*self.last, sample.id[:_LONGEST_NAME]][-_NAMED:]
            if self.in_a_row >= limit:
                raise RunError(
                    f"{counted(self.in_a_row, 'sample')} in a row could not be read, the last of them {sample.id} "
                    f"({sample.reason}); is the data still there? --set data.bad_samples_in_a_row allows more"
                )
