"""Workers on a Ray cluster: one actor a processor, on any of its machines.

The cluster is the one in `RAY_ADDRESS`, or one started on this machine for the length of the run. Every machine needs
phi3v-data, and must reach input and output under the same addresses: a shared file system or an object store.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import msgspec

from ...schema.dependencies import require
from ...schema.errors import ConversionStopped, Phi3VDataError
from ...storage.outage import one_line
from .messages import Halted, Job, Work, encode
from .pool import WorkerExit, WorkerHandle, WorkerPool
from .work import Worker

__all__ = ["RayExecutor"]


class RayExecutor(WorkerPool):
    """Actors on a Ray cluster. Those whose machine is lost are replaced as soon as there is room elsewhere.

    Args:
        job: what every worker needs to know.
        items: how many items there are; no more workers than that are started.
        workers: how many actors; None for one a processor of the cluster.
        item_timeout: see `WorkerPool`.
        log: takes lines for people, such as that a machine was lost.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConversionStopped: the cluster cannot be reached.
    """

    def __init__(
        self, job: Job, items: int, workers: int | None, item_timeout: float, log: Callable[[str], None]
    ) -> None:
        require("ray", purpose="--engine ray", extra="ray")
        import ray

        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect()
        self._log = log
        count = min(items, workers or int(ray.cluster_resources().get("CPU", 1)))
        self._actors = [_WorkerActor(job) for _ in range(count)]
        super().__init__(self._actors, item_timeout)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        for actor in self._actors:
            actor.end()
        if self._is_ours:
            ray.shutdown()

    def _events(self, timeout: float) -> Iterator[tuple[WorkerHandle, bytes | WorkerExit]]:
        import ray

        waiting = {actor.awaited: actor for actor in self._actors if actor.awaited is not None}
        for reference in ray.wait(list(waiting), num_returns=1, timeout=timeout)[0]:
            actor = waiting[reference]
            try:
                outcome = actor.take(ray.get(reference))
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                exited = actor.exited(error)
                self._log(f"a worker on the cluster exited ({exited.cause}); its items are done again")
                yield actor, exited
            else:
                if outcome is not None:
                    yield actor, outcome


def _connect() -> None:
    import ray

    try:
        ray.init(
            os.environ.get("RAY_ADDRESS") or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConversionStopped(f"no Ray cluster can be reached: {one_line(error)}; check RAY_ADDRESS") from error


class _WorkerActor(WorkerHandle):
    """One actor."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = encode(job)
        self._handle: Any = None
        self._starting: Any = None
        self._node: str | None = None
        self._calls: deque[Any] = deque()

    @property
    def awaited(self) -> Any:
        """The reference of the answer that comes next; None where nothing is at work."""
        return self._starting or (self._calls[0] if self._calls else None)

    def start(self) -> None:
        import ray

        self.end()
        self._node = None
        self._calls.clear()
        self._handle = ray.remote(_RemoteWorker).options(num_cpus=1, max_restarts=0).remote(self._job)
        self._starting = self._handle.start.remote()

    def send(self, work: Work) -> None:
        self._calls.append(self._handle.convert.remote(encode(work)))

    def take(self, answer: bytes | str) -> bytes | None:
        """Take what was awaited: an outcome, or the name of the machine that the actor has come up on."""
        if isinstance(answer, str):
            self._starting, self._node = None, answer
            self.ready, self.failed_starts = True, 0
            return None
        if self._calls:
            self._calls.popleft()
        return answer

    def exited(self, error: Exception) -> WorkerExit:
        """Describe how the actor ended."""
        import ray

        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        if self._node is not None and self._node not in alive:
            return WorkerExit("its machine was lost", blames_item=False)
        return WorkerExit(one_line(error)[:300])

    def end(self) -> None:
        """End the actor, whatever it is at."""
        import ray

        if self._handle is not None:
            ray.kill(self._handle)
            self._handle = None


class _RemoteWorker:
    """The actor itself."""

    def __init__(self, job: bytes) -> None:
        self._job = msgspec.json.decode(job, type=Job)
        self._works = msgspec.json.Decoder(Work)

    def start(self) -> bytes | str:
        """Build the worker; return the name of its machine, or why it cannot work."""
        import ray

        try:
            self._worker = Worker(self._job)
        except Phi3VDataError as error:
            return encode(Halted(-1, one_line(error)))
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def convert(self, work: bytes) -> bytes:
        """Convert one item."""
        return encode(self._worker.convert(self._works.decode(work)))
