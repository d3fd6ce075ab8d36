"""Work done by actors on a Ray cluster, answered in order: `workers.in_order` on many machines.

Every machine needs phi3v-data, and must reach the data under the same address: a shared file system or an object store.
An actor whose machine is lost is started again elsewhere, and the tasks that it had are done again: they only read.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ...storage.outage import one_line
from ..errors import Phi3VDataError, RunError
from ..ray_cluster import connect

Task = TypeVar("Task")
Answer = TypeVar("Answer")

# As in `workers`: no actor waits for the one that is at the oldest task, and answers do not pile up.
_DEPTH = 3
# How often an actor is started again; its tasks are sent to it until it is gone for good.
_RESTARTS, _RETRIES = 20, -1


def in_order_on_ray(
    make: Callable[[], Callable[[Task], Answer]], tasks: Iterable[Task], workers: int | None
) -> Iterator[Answer]:
    """Yield the answer to each task, in their order; few are held at a time.

    Args:
        make: called once in each actor; what it returns does the tasks. Both travel, so they must pickle.
        tasks: taken as there is room for them.
        workers: actors; None for one a processor of the cluster.

    Raises:
        MissingDependencyError: Ray is not installed.
        RunError: the cluster cannot be reached, or is lost.
    """
    is_ours = connect()
    import ray

    # Ray prints what happens to its machines; stdout is for results.
    with contextlib.ExitStack() as held:
        if is_ours:
            held.callback(ray.shutdown)
        held.enter_context(contextlib.redirect_stdout(sys.stderr))
        count = workers or int(ray.cluster_resources().get("CPU", 1))
        # Without num_cpus an actor needs a processor to start, and holds none: those of a machine that is lost start
        # again on machines whose processors all have a worker.
        actor = ray.remote(_RemoteWorker).options(
            scheduling_strategy="SPREAD", max_restarts=_RESTARTS, max_task_retries=_RETRIES
        )
        actors = [actor.remote(make) for _ in range(count)]
        for each in actors:
            held.callback(ray.kill, each)
        waiting: deque[Any] = deque()
        for number, task in enumerate(tasks):
            waiting.append(actors[number % count].do.remote(task))
            if len(waiting) >= _DEPTH * count:
                yield _answer(waiting.popleft())
        while waiting:
            yield _answer(waiting.popleft())


def _answer(reference: Any) -> Any:
    import ray

    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise RunError(f"the Ray cluster failed: {one_line(error)[:300]}; fix it and rerun") from error
    if isinstance(found, Phi3VDataError):
        raise found
    return found


class _RemoteWorker:
    """The actor itself."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._work = make()

    def do(self, task: Any) -> Any:
        """Do a task; errors of the package travel as answers, for Ray would change their classes."""
        try:
            return self._work(task)
        except Phi3VDataError as error:
            return error
