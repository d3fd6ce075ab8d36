"""Fault injection: points where a test makes a run fail, one wherever something is written for good.

`PHI3V_FAULT_INJECTION=<point>:<count>:<action>` makes the count-th passage of a point (from 1, in each process) fail:
by `kill`, SIGKILL to the process itself; by `kill-all`, to its whole process group, driver and workers at once; by
`full`, a full disk. Unset, a point costs one comparison.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import IO

from ...schema.errors import UsageError

VARIABLE = "PHI3V_FAULT_INJECTION"
_ACTIONS = ("kill", "kill-all", "full")


class Injection:
    """One failure, as the variable describes it."""

    def __init__(self, text: str) -> None:
        parts = text.split(":")
        if len(parts) != 3 or not parts[1].isdigit() or parts[2] not in _ACTIONS:
            raise UsageError(f"{VARIABLE}={text}: expected <point>:<count>:<action>; actions: {', '.join(_ACTIONS)}")
        self.name, self.left, self.action = parts[0], int(parts[1]), parts[2]


_injection = Injection(os.environ[VARIABLE]) if VARIABLE in os.environ else None


def point(name: str) -> None:
    """Pass a point; nothing happens unless a test has injected a failure there."""
    if _injection is not None and name == _injection.name:
        _injection.left -= 1
        if _injection.left == 0 and _injection.action == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if _injection.left == 0:
            os.kill(0 if _injection.action == "kill-all" else os.getpid(), signal.SIGKILL)


def write(stream: IO[bytes], data: bytes, name: str) -> None:
    """Write to a file; under fault injection, in two halves with the named point between them."""
    if _injection is not None:
        half, data = data[: len(data) // 2], data[len(data) // 2 :]
        stream.write(half)
        stream.flush()
        point(name)
    stream.write(data)
