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
from typing import NamedTuple, TypeVar

from ...schema.errors import ConversionStopped
from .messages import Failed, Failure, Work, encode

__all__ = ["ActiveClock", "WorkQueue", "WorkerExit", "WorkerHandle", "WorkerPool"]

Pool = TypeVar("Pool", bound="WorkerPool")

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
    """The scheduler's side of one worker.

    Attributes:
        assigned: the items it was given and has not answered.
        ready: whether it is up, so that items may be assigned to it.
        since: when it began to start, or its first unanswered item, by the scheduler's clock.
        failed_starts: how often in a row it has not come up.
    """

    def __init__(self) -> None:
        self.assigned: deque[Work] = deque()
        self.ready = False
        self.since = 0.0
        self.failed_starts = 0

    @abstractmethod
    def start(self) -> None:
        """Begin to start the worker, for the first time or in place of one that is ended here if it still runs."""

    @abstractmethod
    def send(self, work: bytes) -> None:
        """Send it an item, encoded."""

    def is_up(self) -> None:
        """Note that it has come up."""
        self.ready, self.failed_starts = True, 0


class ActiveClock:
    """Seconds during which this process ran: while it is stopped (Ctrl-Z, a laptop asleep), no timeout runs.

    Args:
        monotonic: what tells the time.
        longest: seconds counted at most between two readings.
    """

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
    """The scheduler, see the module's text. A context manager: leaving it ends the workers.

    Args:
        workers: the handles of the workers.
        item_timeout: seconds after which a worker is ended over its item.
    """

    def __init__(self, workers: Sequence[WorkerHandle], item_timeout: float) -> None:
        self._workers = workers
        self._item_timeout = item_timeout
        self._clock = ActiveClock()
        self._returned: deque[Work] = deque()  # assigned to a worker that exited before it began them
        self._suspects: deque[tuple[WorkerHandle, Work]] = deque()  # their worker exited over them
        self._exhausted = False  # no more items will come
        self._alone = False  # a suspect is tried once more, nothing else is at work

    @abstractmethod
    def _events(self, timeout: float) -> Iterator[tuple[WorkerHandle, bytes | WorkerExit]]:
        """Wait at most `timeout` seconds until workers have answered, exited or become ready; yield what there is."""

    def __enter__(self: Pool) -> Pool:
        for worker in self._workers:
            self._start(worker)
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
                    yield from self._on_worker_exit(worker, event)
                    continue
                if worker.assigned:
                    worker.assigned.popleft()
                worker.since = self._clock.now()
                yield event
            yield from self._end_overdue()

    def _start(self, worker: WorkerHandle) -> None:
        worker.ready = False
        worker.since = self._clock.now()
        worker.start()

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
        return bool(self._returned) or not self._exhausted or any(worker.assigned for worker in self._workers)

    def _fill(self, queue: WorkQueue) -> None:
        for depth in range(1, _DEPTH + 1):
            for number, worker in enumerate(self._workers):
                if len(worker.assigned) >= depth or not worker.ready:
                    continue
                work = self._returned.popleft() if self._returned else queue.next(number)
                if work is None:
                    self._exhausted = True
                    return
                message = encode(work)
                if worker.assigned and len(message) > _LARGE:
                    # It would fill a pipe, and driver and worker could wait for each other to read.
                    self._returned.appendleft(work)
                    return
                self._send(worker, work, message)

    def _send(self, worker: WorkerHandle, work: Work, message: bytes) -> None:
        if not worker.assigned:
            worker.since = self._clock.now()
        worker.assigned.append(work)
        worker.send(message)

    def _lost(self, worker: WorkerHandle) -> list[Work]:
        """Start another worker in place of one, and return what it has not answered."""
        lost = list(worker.assigned)
        worker.assigned.clear()
        self._start(worker)
        return lost

    def _on_worker_exit(self, worker: WorkerHandle, exited: WorkerExit) -> Iterator[bytes]:
        if not worker.ready:
            worker.failed_starts += 1
            if worker.failed_starts == _FAILED_STARTS:
                raise ConversionStopped(
                    f"a worker process could not start, {_FAILED_STARTS} times in a row ({exited.cause}); fix it and "
                    "rerun: progress is kept"
                )
        lost = self._lost(worker)
        if not lost or not exited.blames_item:
            self._returned.extend(lost)
            return
        self._returned.extend(lost[1:])
        if self._alone:
            reason = "its worker process exited twice; it crashes the decoder, or needs more memory than there is"
            yield _failed(lost[0], "WorkerExited", reason)
        else:
            self._suspects.append((worker, lost[0]))

    def _end_overdue(self) -> Iterator[bytes]:
        now = self._clock.now()
        for worker in self._workers:
            if now - worker.since <= self._item_timeout:
                continue
            if worker.ready and worker.assigned:
                late, *rest = self._lost(worker)
                self._returned.extend(rest)
                reason = f"no result within {self._item_timeout:g} s, so its worker was ended; see --item-timeout"
                yield _failed(late, "ItemTimeout", reason)
            elif not any(other.ready for other in self._workers):
                raise ConversionStopped(
                    f"no worker was up within {self._item_timeout:g} s; see whether there is room for one, and rerun: "
                    "progress is kept"
                )


def _failed(work: Work, exception: str, message: str) -> bytes:
    failure = Failure(stage="worker", exception=exception, message=message)
    return encode(Failed(work.index, work.item.path, failure, work.item.shared))


class WorkQueue:
    """Which of the items a worker is assigned next: in order, but those that share an image go to who stored it."""

    def __init__(self, works: Iterator[Work], workers: int) -> None:
        self._works = works
        self._shared = [""] * workers  # what the last item of each worker shared
        self._waiting: list[deque[Work]] = [deque() for _ in range(workers)]

    def next(self, worker: int) -> Work | None:
        """Return the next item for a worker, by its number; None where there are no more for anybody."""
        if self._waiting[worker]:
            return self._waiting[worker].popleft()
        for work in self._works:
            owner = self._owner(work.item.shared)
            if owner is None or owner == worker:
                self._shared[worker] = work.item.shared
                return work
            self._waiting[owner].append(work)
        # Nothing new is left: who is idle helps who is not.
        longest = max(self._waiting, key=len)
        return longest.popleft() if longest else None

    def _owner(self, shared: str) -> int | None:
        if not shared:
            return None
        owners = (number for number, last in enumerate(self._shared) if last == shared)
        return next((number for number in owners if len(self._waiting[number]) < _MOST_WAITING), None)
