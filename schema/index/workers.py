"""Work done by several processes, answered in order."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..errors import RunError

__all__ = ["core_count", "in_order"]

Task = TypeVar("Task")
Answer = TypeVar("Answer")

# Enough that no process waits for the one that is at the oldest task; few enough that answers do not pile up.
_DEPTH = 3


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(make: Callable[[], Callable[[Task], Answer]], tasks: Iterable[Task], workers: int) -> Iterator[Answer]:
    """Yield the answer to each task, in their order; few are held at a time.

    Args:
        make: called once in each process; what it returns does the tasks. Both travel, so they must pickle.
        tasks: taken as there is room for them.
        workers: processes; with 1, this one does it all.

    Raises:
        RunError: a process died.
    """
    if workers <= 1:
        yield from map(make(), tasks)
        return
    # Forked from a process that already runs threads (torch, Arrow, a store's client), one may hang for ever.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(make,))
    waiting: deque[Future[Answer]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_do, task))
            if len(waiting) >= _DEPTH * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RunError(
            "a process that built the index died: out of memory, or started by a script without "
            "`if __name__ == '__main__':`; use fewer workers, or add it"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_work: Callable[[Any], Any]


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = make()


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, and end as well: killed, it cannot say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(task: Any) -> Any:
    return _work(task)
