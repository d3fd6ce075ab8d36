"""Signals of a scheduler: SIGUSR1 asks for a checkpoint, SIGTERM for a checkpoint and the end of the run."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Signals:
    """Notes signals while it is open, to be acted upon between two steps. A context manager."""

    def __init__(self) -> None:
        self._asked = 0
        self._answered = 0
        self.stop = False
        """Whether the run was asked to end."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        # Only the main thread is told of signals; a program that trains in another one handles them itself.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGUSR1, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def checkpoint(self) -> bool:
        """Tell whether a checkpoint was asked for since this was last called."""
        # A count, not a flag to be lowered: a signal may arrive at any moment, and none is to be lost.
        asked, answered = self._asked, self._answered
        self._answered = asked
        return asked > answered

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self.stop = True
        else:
            self._asked += 1
