"""The scheduler: assigns items to workers, replaces workers that exit, and ends those that take too long.

It is the same on one machine and on a cluster. A worker has at most two items at a time, so memory is bounded and it
never waits for the driver. It answers in order, so one that exits names its item: the first it has not answered. That
item is tried once more while nothing else is at work, for it may only have been the neighbours that used up the
memory; if its worker exits again, it has failed. An item that takes longer than the timeout fails at once.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...schema.errors import ConversionStopped
from .messages import Failed, Failure, Work, encode

_DEPTH = 2
_LARGE = 1 << 15  # bytes
_TICK = 1.0  # seconds between two looks at the timeouts
# A worker may be killed before it is up, by the kernel or with its machine; so often in a row, something else is wrong.
_FAILED_STARTS = 3
# Seconds that a new worker gets to come up before another takes over its suspect; a cluster may have no room for it.
_FRESH_START = 30.0
# So many items wait for the worker that has their image; the next goes to another, which stores the image, too.
_MOST_WAITING = 32


class WorkerExit(NamedTuple):
    """A worker ended: how, in a few words, and whether the item it was at may be to blame."""

    cause: str
    blames_item: bool = True


class WorkerHandle(ABC):
    """The scheduler's side of one worker."""

    def __init__(self) -> None:
        self.assigned: deque[Work] = deque()  # what it was given and has not answered
        self.ready = False  # it is up, so that items may be assigned to it
        self.since = 0.0  # when it began to start, or its first unanswered item, by the scheduler's clock
        self.failed_starts = 0  # in a row

    @abstractmethod
    def start(self) -> None:
        """Begin to start the worker, for the first time or in place of one that is ended here if it still runs."""

    @abstractmethod
    def send(self, work: bytes) -> None:
        """Send it an item, encoded."""


class ActiveClock:
    """Seconds in which this process ran, at most `longest` between two readings: stopped by Ctrl-Z, none pass."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, longest: float = 5 * _TICK) -> None:
        self._monotonic, self._longest = monotonic, longest
        self._read, self._elapsed = monotonic(), 0.0

    def now(self) -> float:
        """Return the seconds since the clock was made."""
        read = self._monotonic()
        self._elapsed += min(read - self._read, self._longest)
        self._read = read
        return self._elapsed


class WorkerPool(ABC):
    """The scheduler, see the module's text. A context manager: leaving it ends the workers."""

    def __init__(self, workers: Sequence[WorkerHandle], item_timeout: float) -> None:
        self._workers = workers
        self._item_timeout = item_timeout  # seconds
        self._clock = ActiveClock()
        self._suspects: deque[tuple[WorkerHandle, Work]] = deque()  # their worker exited over them
        self._alone = False  # a suspect is tried once more, nothing else is at work

    @abstractmethod
    def _events(self, timeout: float) -> Iterator[tuple[WorkerHandle, bytes | WorkerExit]]:
        """Wait at most `timeout` seconds for workers; yield outcomes, exits, and b"" for one that has come up."""

    def __enter__(self) -> WorkerPool:
        for worker in self._workers:
            self._restart(worker)
        return self

    @abstractmethod
    def __exit__(self, *error: object) -> None: ...

    def run(self, works: Iterator[Work]) -> Iterator[bytes]:
        """Yield an encoded outcome for each item, in any order, taking new items only as earlier ones are answered.

        Raises:
            ConversionStopped: workers do not start, however often it is tried.
        """
        queue = WorkQueue(works, len(self._workers))
        while self._assign(queue):
            for worker, event in self._events(_TICK):
                if isinstance(event, WorkerExit):
                    yield from self._on_worker_exit(queue, worker, event)
                elif event:
                    worker.assigned.popleft()
                    worker.since = self._clock.now()
                    yield event
                else:
                    worker.ready, worker.failed_starts = True, 0
            yield from self._end_overdue(queue)

    def _assign(self, queue: WorkQueue) -> bool:
        """Give every worker what it has room for; tell whether anything is left to wait for."""
        idle = not any(worker.assigned for worker in self._workers)
        if idle:
            self._alone = bool(self._suspects)
        if self._suspects:
            # The worker in place of the one that exited is new: what others piled up cannot count against the item.
            fresh = self._suspects[0][0]
            others = self._workers if self._clock.now() - fresh.since > _FRESH_START else ()
            worker = next((worker for worker in (fresh, *others) if worker.ready), None)
            if idle and worker is not None:
                suspect = self._suspects.popleft()[1]
                self._send(worker, suspect, encode(suspect))
            return True
        if not self._alone:
            self._fill(queue)
        return bool(queue) or any(worker.assigned for worker in self._workers)

    def _fill(self, queue: WorkQueue) -> None:
        for depth in range(1, _DEPTH + 1):
            for number, worker in enumerate(self._workers):
                if len(worker.assigned) >= depth or not worker.ready:
                    continue
                if (work := queue.next(number)) is None:
                    return
                message = encode(work)
                if worker.assigned and len(message) > _LARGE:
                    # It would fill a pipe, and driver and worker could wait for each other to read.
                    queue.returned.appendleft(work)
                    return
                self._send(worker, work, message)

    def _send(self, worker: WorkerHandle, work: Work, message: bytes) -> None:
        if not worker.assigned:
            worker.since = self._clock.now()
        worker.assigned.append(work)
        worker.send(message)

    def _restart(self, worker: WorkerHandle) -> list[Work]:
        """Start a worker, perhaps in place of another, and return what that one has not answered."""
        lost = list(worker.assigned)
        worker.assigned.clear()
        worker.ready, worker.since = False, self._clock.now()
        worker.start()
        return lost

    def _on_worker_exit(self, queue: WorkQueue, worker: WorkerHandle, exited: WorkerExit) -> Iterator[bytes]:
        if not worker.ready:
            worker.failed_starts += 1
            if worker.failed_starts == _FAILED_STARTS:
                raise ConversionStopped(
                    f"a worker process could not start, {_FAILED_STARTS} times in a row ({exited.cause}); fix it and "
                    "rerun: progress is kept"
                )
        lost = self._restart(worker)
        if lost and exited.blames_item:
            suspect = lost.pop(0)
            if self._alone:
                reason = "its worker process exited twice; it crashes the decoder, or needs more memory than there is"
                yield _failed(suspect, "WorkerExited", reason)
            else:
                self._suspects.append((worker, suspect))
        queue.returned.extend(lost)

    def _end_overdue(self, queue: WorkQueue) -> Iterator[bytes]:
        now = self._clock.now()
        for worker in self._workers:
            if now - worker.since <= self._item_timeout:
                continue
            if worker.ready and worker.assigned:
                late, *rest = self._restart(worker)
                queue.returned.extend(rest)
                reason = f"no result within {self._item_timeout:g} s, so its worker was ended; see --item-timeout"
                yield _failed(late, "ItemTimeout", reason)
            elif not any(other.ready for other in self._workers):
                raise ConversionStopped(
                    f"no worker was up within {self._item_timeout:g} s; see whether there is room for one, and rerun: "
                    "progress is kept"
                )


def _failed(work: Work, exception: str, message: str) -> bytes:
    return encode(Failed(work.index, work.item.path, Failure("worker", exception, message), work.item.shared))


class WorkQueue:
    """Which of the items a worker is assigned next: in order, but those that share an image go to who stored it."""

    def __init__(self, works: Iterator[Work], workers: int) -> None:
        self._works = works
        self.returned: deque[Work] = deque()  # assigned to a worker that exited before it began them
        self._shared = [""] * workers  # what the last item of each worker shared
        self._waiting: list[deque[Work]] = [deque() for _ in range(workers)]
        self._is_exhausted = False

    def __bool__(self) -> bool:
        return bool(self.returned) or not self._is_exhausted

    def next(self, worker: int) -> Work | None:
        """Return the next item for a worker, by its number; None where there are no more for anybody."""
        for items in (self.returned, self._waiting[worker]):
            if items:
                return items.popleft()
        for work in self._works:
            shared = work.item.shared
            owners = (number for number, last in enumerate(self._shared) if shared and last == shared)
            owner = next((number for number in owners if len(self._waiting[number]) < _MOST_WAITING), worker)
            if owner == worker:
                self._shared[worker] = shared
                return work
            self._waiting[owner].append(work)
        # Nothing new is left: who is idle helps who is not.
        longest = max(self._waiting, key=len)
        self._is_exhausted = not longest
        return longest.popleft() if longest else None
