"""Worker processes on this machine.

Each is a fresh interpreter at the other end of a pipe, not a fork: decoders start threads, and the caller's script may
have no `__main__` guard. What a library or a source writes to stdout or stderr is caught in a file, and logged with the
item that was at work.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from tempfile import TemporaryFile

import msgspec

from ...schema.wording import counted
from .messages import Job, encode
from .pool import WorkerExit, WorkerHandle, WorkerPool
from .work import Worker

_LAST_ITEM = 5.0  # seconds that a worker gets for its last item when the run ends
_PR_SET_PDEATHSIG = 1
_LONGEST_OUTPUT = 1 << 16  # bytes taken of what one item printed
_STDERR = 2  # the descriptor, whatever a source makes of sys.stderr

_START = f"""
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what becomes of it
sys.path[:] = json.loads(sys.argv[2])
from {__name__} import serve
serve(int(sys.argv[1]))
"""


class OutputLog:
    """Logs what libraries and sources print in workers, one line an item and at most so many lines."""

    def __init__(self, log: Callable[[str], object], most: int = 20) -> None:
        self._log, self._left = log, most

    def add(self, where: str, text: str) -> None:
        """Log the first line of what was printed while `where` was at work."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines and self._left > 0:
            more = f" (+{counted(len(lines) - 1, 'line')})" if len(lines) > 1 else ""
            self._log(f"{where}: printed in its worker: {lines[0][:300]}{more}")
        elif lines and self._left == 0:
            self._log("further output of workers is not shown")
        self._left -= bool(lines)


class LocalExecutor(WorkerPool):
    """A fixed number of worker processes; `log` takes lines for people, such as what a library printed."""

    def __init__(self, job: Job, workers: int, item_timeout: float, log: Callable[[str], object]) -> None:
        self._processes = [_WorkerProcess(encode(job)) for _ in range(workers)]
        self._output = OutputLog(log)
        super().__init__(self._processes, item_timeout)

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.close()
        for process in self._processes:
            process.end()

    def _events(self, timeout: float) -> Iterator[tuple[WorkerHandle, bytes | WorkerExit]]:
        waiting = {p.connection: p for p in self._processes if p.assigned or not p.ready}
        for connection in wait(waiting.keys(), timeout):
            process = waiting[connection]  # type: ignore[index]  # wait() returns what it was given
            try:
                printed, _, outcome = process.connection.recv_bytes().rpartition(b"\0")
            except (EOFError, ConnectionResetError):
                yield process, WorkerExit(process.end())
                continue
            if printed:
                where = process.assigned[0].item.path if process.assigned else "the source"
                self._output.add(where, printed.decode(errors="backslashreplace"))
            yield process, outcome


class _WorkerProcess(WorkerHandle):
    """One worker process."""

    def __init__(self, job: bytes) -> None:
        super().__init__()
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.end(kill=True)
        self.connection, theirs = Pipe()
        # The interpreter's path travels too: a source may lie where only the caller can import from.
        command = [sys.executable, "-c", _START, str(theirs.fileno()), json.dumps(sys.path)]
        self._printed = TemporaryFile(prefix="phi3v-data-output-")  # noqa: SIM115 - closed when the process is ended
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self._printed, stderr=self._printed
        )
        theirs.close()
        self.send(self._job)

    def send(self, work: bytes) -> None:
        # That a worker has exited is noticed when its answer is waited for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(work)

    def close(self) -> None:
        """End the worker after its present item, an idle one at once."""
        self.connection.close()
        if self._process is not None and not self.assigned:
            self._process.kill()

    def end(self, *, kill: bool = False) -> str:
        """Wait for the process, kill it if it does not end or is asked to, and describe how it ended."""
        if self._process is None:
            return ""
        try:
            code = self._process.wait(0 if kill else _LAST_ITEM)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process = None
        self.connection.close()
        with self._printed:
            start = max(os.fstat(self._printed.fileno()).st_size - _LONGEST_OUTPUT, 0)
            text = os.pread(self._printed.fileno(), _LONGEST_OUTPUT, start).decode(errors="backslashreplace")
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        printed = [line.strip()[:300] for line in text.splitlines() if line.strip()]
        return f"{cause}: {printed[-1]}" if printed else cause


def serve(handle: int) -> None:
    """Be a worker process: read the job, then work, from a duplex pipe until its other end is closed.

    Each answer is what was printed, a zero byte and the outcome; without an outcome, it says that the worker is up.
    """
    # Parallel work is done by processes; threads of the numeric libraries would only be in each other's way.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # A killed driver closes the pipe, but a worker at a long item would only notice after it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    connection, outcome = Connection(handle), b""
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the driver has ended or needs no more
        worker = Worker(msgspec.json.decode(connection.recv_bytes(), type=Job))
        while True:
            connection.send_bytes(_take_printed() + b"\0" + outcome)
            outcome = worker.answer(connection.recv_bytes())


def _take_printed() -> bytes:
    """Return what this process has written to stdout and stderr, which share a file, and empty it."""
    sys.stdout.flush()
    if not os.fstat(_STDERR).st_size:
        return b""
    text = os.pread(_STDERR, _LONGEST_OUTPUT, 0)
    os.ftruncate(_STDERR, 0)
    os.lseek(_STDERR, 0, os.SEEK_SET)
    return text
