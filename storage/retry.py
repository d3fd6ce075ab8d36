"""Trying again when a store cannot be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..schema.errors import RunError
from .outage import is_transient, one_line

__all__ = ["RetryPolicy"]

Result = TypeVar("Result")

_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often an action on a store is tried, with pauses of 1, 2, 4 ... and at most 60 seconds in between.

    Args:
        attempts: how often it is tried; 10 attempts pause for about four minutes in all.
        wait: pauses for the given number of seconds.
    """

    attempts: int = 10
    wait: Callable[[float], object] = time.sleep

    def run(self, what: str, action: Callable[[], Result]) -> Result:
        """Call an action until it succeeds; an error that another attempt would not change is raised at once.

        Args:
            what: names it in the error, such as the address that is read.
            action: is called again from the start after a transient failure.

        Raises:
            RunError: every attempt failed.
        """
        attempt, waited = 1, 0.0
        while True:
            try:
                return action()
            except Exception as error:
                if not is_transient(error):
                    raise
                if attempt >= self.attempts:
                    raise RunError(
                        f"{what}: not reachable in {attempt} attempts over {waited:.0f} s ({one_line(error)}); "
                        "fix the connection and rerun"
                    ) from error
            pause = min(2.0 ** (attempt - 1), _LONGEST_PAUSE)
            self.wait(pause)
            attempt, waited = attempt + 1, waited + pause
