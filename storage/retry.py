"""Trying again when a store cannot be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..schema.errors import RunError
from .outage import may_pass, one_line

__all__ = ["Patience"]

Result = TypeVar("Result")

_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Patience:
    """How long a store may be away before a run gives up: pauses of 1, 2, 4 ... and at most 60 seconds.

    Args:
        attempts: how often something is tried; 10 of them wait for four minutes in all.
        wait: what waits, given seconds.
    """

    attempts: int = 10
    wait: Callable[[float], object] = time.sleep

    def run(self, what: str, action: Callable[[], Result]) -> Result:
        """Do something until it works; errors that another try would not change are raised at once.

        Args:
            what: names it in the error, such as the address that is read.
            action: is called again after a failure, so it begins anew each time.

        Raises:
            RunError: the store was away for all attempts.
        """
        attempt, waited = 1, 0.0
        while True:
            try:
                return action()
            except Exception as error:
                if not may_pass(error):
                    raise
                if attempt >= self.attempts:
                    tried = f"not to be had in {attempt} attempts over {waited:.0f} s ({one_line(error)})"
                    raise RunError(f"{what}: {tried}; mend the connection, and give the same command again") from error
            pause = min(2.0 ** (attempt - 1), _LONGEST_PAUSE)
            self.wait(pause)
            attempt, waited = attempt + 1, waited + pause
