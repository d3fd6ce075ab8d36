"""How far an evaluation of a run is, in its log: a line every so often."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["ProgressLog"]

_FIRST_AFTER, _EVERY = 10.0, 30.0  # seconds


class ProgressLog:
    """Takes how many questions are answered, and how many there are; logs that from time to time.

    Args:
        what: is evaluated.
        log: called with a line for a person.
        processes: that share the questions; the first one's are counted.
        clock: tells the time in seconds.
    """

    def __init__(
        self, what: str, log: Callable[[str], None], processes: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._log, self._clock = what, log, clock
        self._shared = f", the first of {processes} processes" if processes > 1 else ""
        self._next = clock() + _FIRST_AFTER

    def __call__(self, done: int, total: int) -> None:
        """Take in a batch."""
        now = self._clock()
        if now >= self._next:
            self._next = now + _EVERY
            self._log(f"evaluating {self._what}: {done:,} of {total:,} questions{self._shared}")
