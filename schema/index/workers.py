"""Work done by several processes, answered in order."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import Any, TypeVar

from ..errors import RunError

Task = TypeVar("Task")
Answer = TypeVar("Answer")

# Seconds of work that are not worth starting a process for.
_SHORT = 0.3
# Tasks of each process at a time: enough that it never waits for one; few enough that answers do not pile up.
_DEPTH = 3


def in_order(make: Callable[[], Callable[[Task], Answer]], tasks: Iterable[Task], workers: int) -> Iterator[Answer]:
    """Yield the answer to each task, in their order; few are held at a time.

    This process is one of the workers, and the only one of a short job: starting another takes as long as hundreds of
    small tasks. Later it does the tasks that the others have no room for.

    Args:
        make: called once in each process; what it returns does the tasks. Both travel, so they must pickle.
        tasks: taken as there is room for them.
        workers: processes, this one among them.

    Raises:
        RunError: a process died.
    """
    work, tasks, began = make(), iter(tasks), time.monotonic()
    for task in tasks:
        if workers > 1 and time.monotonic() - began > _SHORT:
            yield from _together(make, work, chain([task], tasks), workers)
        else:
            yield work(task)


def _together(
    make: Callable[[], Callable[[Task], Answer]],
    work: Callable[[Task], Answer],
    tasks: Iterable[Task],
    workers: int,
) -> Iterator[Answer]:
    # Forked from a process that already runs threads (torch, Arrow, a store's client), one may hang for ever.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers - 1, mp_context=context, initializer=_begin, initargs=(make,))
    room = _DEPTH * (workers - 1)
    waiting: deque[Future[Answer]] = deque()
    try:
        started = [pool.submit(_is_there) for _ in range(workers - 1)]
        for task in tasks:
            is_free = all(each.done() for each in started) and sum(not each.done() for each in waiting) < room
            waiting.append(pool.submit(_do, task) if is_free else _done(work, task))
            while waiting and (waiting[0].done() or len(waiting) >= room + _DEPTH):
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


def _done(work: Callable[[Task], Answer], task: Task) -> Future[Answer]:
    """Do a task here; an error is raised where its answer would be."""
    future: Future[Answer] = Future()
    try:
        future.set_result(work(task))
    except Exception as error:  # noqa: BLE001 - raised where its answer is taken
        future.set_exception(error)
    return future


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


def _is_there() -> None:
    """Tell that a process has started."""


def _do(task: Any) -> Any:
    return _work(task)
