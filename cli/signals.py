"""The signals that stop a run: SIGINT (Ctrl-C) and SIGTERM end it alike, each with its line and its exit code."""

from __future__ import annotations

import os
import signal
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; whatever is done when Ctrl-C is pressed is done for it, too."""


def raise_on_sigterm() -> None:
    """Have SIGTERM raise `Terminated` in this process, and end those that it forks as before."""
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            raise Terminated
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)


def stop_code(error: BaseException) -> int:
    """Return the exit code of a run that a signal stopped: 143 for SIGTERM, 130 for SIGINT."""
    is_terminated = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)
    return 128 + (signal.SIGTERM if is_terminated else signal.SIGINT)


def ignore_further_signals() -> None:
    """Let the process end in order, however often Ctrl-C is pressed now."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
