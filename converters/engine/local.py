"""Worker processes on this machine.

Each is a fresh interpreter at the other end of a pipe, not a fork: decoders start threads, and the caller's script may
have no `__main__` guard.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import wait
from types import TracebackType

from ...schema.errors import ConversionStopped
from .messages import Job, Work, encode
from .pool import Death, Hand, Pool
from .worker import READY, serve

__all__ = ["LocalExecutor"]

_RETRY = 5.0  # seconds that a dismissed worker gets for its last item
_START = f"""
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what becomes of it
sys.path[:] = json.loads(sys.argv[2])
from {serve.__module__} import serve
serve(int(sys.argv[1]))
"""


class LocalExecutor(Pool):
    """A fixed number of worker processes.

    Args:
        job: what every worker needs to know.
        workers: how many processes.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._processes = [_Process(encode(job)) for _ in range(workers)]
        super().__init__(self._processes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.dismiss()
        for process in self._processes:
            process.end()

    def _answers(self) -> Iterator[tuple[Hand, bytes | Death]]:
        busy = {process.connection: process for process in self._processes if process.given}
        for connection in wait(busy.keys()):
            process = busy[connection]  # type: ignore[index]  # wait() returns what it was given
            try:
                answer = process.receive()
            except (EOFError, ConnectionResetError):
                yield process, process.died()
            else:
                if answer != READY:
                    yield process, answer


class _Process:
    """One worker process."""

    ready = True  # what it is given waits in the pipe until it has come up

    def __init__(self, job: bytes) -> None:
        self._job = job
        self.given: deque[Work] = deque()

    def start(self) -> None:
        self.connection, theirs = Pipe()
        # The interpreter's path travels too: a source may lie where only the caller can import from.
        command = [sys.executable, "-c", _START, str(theirs.fileno()), json.dumps(sys.path)]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._came_up = False
        self._send(self._job)

    def give(self, work: Work) -> None:
        self.given.append(work)
        self._send(encode(work))

    def _send(self, data: bytes) -> None:
        # A worker that has died is noticed when its answer is waited for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(data)

    def receive(self) -> bytes:
        """Return an outcome, or READY once."""
        data = self.connection.recv_bytes()
        self._came_up = True
        return data

    def died(self) -> Death:
        """Say how the process ended.

        Raises:
            ConversionStopped: it has not even come up; the next would not either.
        """
        cause = self.end()
        if not self._came_up:
            raise ConversionStopped(f"a worker process could not start ({cause}); its own words are above")
        return Death(blames_item=True)

    def dismiss(self) -> None:
        """Tell the worker that it is no more needed: it ends after the item it is at, an idle one at once."""
        self.connection.close()
        if not self.given:
            self._process.kill()

    def end(self) -> str:
        """Wait for the process, kill it if it does not end, and say how it ended."""
        try:
            code = self._process.wait(_RETRY)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.connection.close()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
