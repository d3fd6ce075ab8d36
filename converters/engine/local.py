"""Worker processes on this machine.

Each is a fresh interpreter at the other end of a pipe, not a fork: decoders start threads and the caller's script may
have no `__main__` guard. A worker has at most two items at a time, so memory is bounded, and it never waits for the
driver. Because each answers in order, a process that dies names its item: the first it has not answered.
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
from typing import Protocol

from ...schema.errors import ConversionStopped
from ...schema.folder import open_folder
from .messages import Failed, Failure, Job, Work, encode
from .work import discard_pictures
from .worker import READY, serve

__all__ = ["Executor", "LocalExecutor"]

_DEPTH = 2
_LARGE = 1 << 15  # bytes
_PATIENCE = 5.0  # seconds that a dismissed worker gets for its last item
_START = f"""
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what becomes of it
sys.path[:] = json.loads(sys.argv[2])
from {serve.__module__} import serve
serve(int(sys.argv[1]))
"""


class Executor(Protocol):
    """Something that converts items, in any order. A context manager: leaving it ends its workers."""

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, works: Iterator[Work]) -> Iterator[bytes]:
        """Yield an encoded outcome for each item, taking new items only as earlier ones are answered."""


class LocalExecutor:
    """A fixed number of worker processes; see the module's text.

    Args:
        job: what every worker needs to know.
        workers: how many processes.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._job = job
        self._hands = [_Hand(encode(job)) for _ in range(workers)]
        self._returned: deque[Work] = deque()  # given to a worker that died before it began them
        self._suspects: deque[Work] = deque()  # their worker died over them
        self._alone = False  # a suspect is tried once more, nothing else is at work

    def __enter__(self) -> Executor:
        for hand in self._hands:
            hand.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hand in self._hands:
            hand.dismiss()
        for hand in self._hands:
            hand.end()

    def run(self, works: Iterator[Work]) -> Iterator[bytes]:
        """See `Executor`. An item whose worker dies is tried once more, alone; then it counts as failed."""
        while True:
            self._hand_out(works)
            busy = {hand.connection: hand for hand in self._hands if hand.given}
            if not busy:
                return
            for connection in wait(busy.keys()):
                hand = busy[connection]  # type: ignore[index]  # wait() returns what it was given
                try:
                    line = hand.receive()
                except EOFError:
                    line = self._bury(hand)
                if line is not None:
                    yield line

    def _hand_out(self, works: Iterator[Work]) -> None:
        idle = not any(hand.given for hand in self._hands)
        if idle:
            self._alone = bool(self._suspects)
        if self._alone or self._suspects:
            if idle:
                self._hands[0].give(self._suspects.popleft())
            return
        for depth in range(1, _DEPTH + 1):
            for hand in self._hands:
                if len(hand.given) < depth:
                    work = self._returned.popleft() if self._returned else next(works, None)
                    if work is None:
                        return
                    if hand.given and len(encode(work)) > _LARGE:
                        # It would fill the pipe, and driver and worker could wait for each other to read.
                        self._returned.appendleft(work)
                        return
                    hand.give(work)

    def _bury(self, hand: _Hand) -> bytes | None:
        suspect, *rest = hand.given
        self._returned.extend(rest)
        cause = hand.end()
        if not hand.up:
            raise ConversionStopped(f"a worker process could not start ({cause}); its own words are above")
        hand.start()
        if not self._alone:
            self._suspects.append(suspect)
            return None
        discard_pictures(open_folder(self._job.out), self._job.pictures, suspect.item)
        message = f"the worker process died over it, twice ({cause}); it may need more memory than there is"
        failure = Failure(stage="worker", exception="WorkerDied", message=message)
        return encode(Failed(suspect.index, suspect.item.path, failure))


class _Hand:
    """One worker process and what it was given and has not answered."""

    def __init__(self, job: bytes) -> None:
        self._job = job
        self.given: deque[Work] = deque()

    def start(self) -> None:
        self.connection, theirs = Pipe()
        # The interpreter's path travels too: a source may lie where only the caller can import from.
        command = [sys.executable, "-c", _START, str(theirs.fileno()), json.dumps(sys.path)]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self.up = False
        self.given.clear()
        self._send(self._job)

    def give(self, work: Work) -> None:
        self.given.append(work)
        self._send(encode(work))

    def _send(self, data: bytes) -> None:
        # A worker that has died is noticed when its answer is waited for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(data)

    def receive(self) -> bytes | None:
        """Return an outcome; None where the worker only said that it came up. EOFError: it died."""
        try:
            data = self.connection.recv_bytes()
        except ConnectionResetError:
            raise EOFError from None
        if data == READY:
            self.up = True
            return None
        self.given.popleft()
        return data

    def dismiss(self) -> None:
        """Tell the worker that it is no more needed: it ends after the item it is at, an idle one at once."""
        self.connection.close()
        if not self.given:
            self._process.kill()

    def end(self) -> str:
        """Wait for the process, kill it if it does not end, and say how it ended."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
