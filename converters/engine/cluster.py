"""Workers on a Ray cluster: one actor a processor, on any of its machines.

The cluster is the one in `RAY_ADDRESS`, or one started on this machine for the length of the run. Every machine needs
phi3v-data, and must reach input and output under the same addresses: a shared file system or an object store.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import msgspec

from ...schema.dependencies import require
from ...schema.errors import ConversionStopped, Phi3VDataError
from .messages import Halted, Job, Work, encode
from .pool import Death, Hand, Pool
from .trouble import one_line
from .work import Worker

__all__ = ["RayExecutor"]

# A machine may be lost while an actor starts on it; so often in a row, something else is wrong.
_STARTS = 3


class RayExecutor(Pool):
    """Actors on a Ray cluster. Those whose machine is lost are replaced as soon as there is room elsewhere.

    Args:
        job: what every worker needs to know.
        items: how many items there are; no more workers than that are started.
        workers: how many actors; None for one a processor of the cluster.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConversionStopped: the cluster cannot be reached.
    """

    def __init__(self, job: Job, items: int, workers: int | None) -> None:
        require("ray", purpose="--engine ray", extra="ray")
        import ray

        self._ours = not ray.is_initialized()
        if self._ours:
            _connect()
        count = min(items, workers or int(ray.cluster_resources().get("CPU", 1)))
        self._actors = [_Actor(job) for _ in range(count)]
        super().__init__(self._actors)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        for actor in self._actors:
            actor.end()
        if self._ours:
            ray.shutdown()

    def _answers(self) -> Iterator[tuple[Hand, bytes | Death]]:
        import ray

        waiting = {actor.awaited: actor for actor in self._actors if actor.awaited is not None}
        for reference in ray.wait(list(waiting), num_returns=1)[0]:
            actor = waiting[reference]
            try:
                outcome = actor.take(ray.get(reference))
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                yield actor, actor.died(error)
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


class _Actor:
    """The driver's side of one actor."""

    def __init__(self, job: Job) -> None:
        self._job = encode(job)
        self._handle: Any = None
        self._starting: Any = None
        self._node: str | None = None
        self._calls: deque[Any] = deque()
        self._failed_starts = 0
        self.given: deque[Work] = deque()

    @property
    def ready(self) -> bool:
        return self._node is not None

    @property
    def awaited(self) -> Any:
        """The reference of the answer that comes next; None where nothing is at work."""
        return self._starting or (self._calls[0] if self._calls else None)

    def start(self) -> None:
        import ray

        self.end()
        self._node = None
        self._calls.clear()
        self._handle = ray.remote(_Desk).options(num_cpus=1, max_restarts=0).remote(self._job)
        self._starting = self._handle.come_up.remote()

    def give(self, work: Work) -> None:
        self.given.append(work)
        self._calls.append(self._handle.convert.remote(encode(work)))

    def take(self, answer: bytes | str) -> bytes | None:
        """Take what was awaited: an outcome, or the name of the machine that the actor has come up on."""
        if isinstance(answer, str):
            self._starting, self._node, self._failed_starts = None, answer, 0
            return None
        if self._calls:
            self._calls.popleft()
        return answer

    def died(self, error: Exception) -> Death:
        """Tell what the actor died of.

        Raises:
            ConversionStopped: it does not even come up, however often it is tried.
        """
        import ray

        if self._node is None:
            self._failed_starts += 1
            if self._failed_starts == _STARTS:
                raise ConversionStopped(f"a worker could not start on the Ray cluster: {one_line(error)}") from error
            return Death(blames_item=False)
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        return Death(blames_item=self._node in alive)

    def end(self) -> None:
        """End the actor, whatever it is at."""
        import ray

        if self._handle is not None:
            ray.kill(self._handle)
            self._handle = None


class _Desk:
    """The actor itself."""

    def __init__(self, job: bytes) -> None:
        self._job = msgspec.json.decode(job, type=Job)
        self._works = msgspec.json.Decoder(Work)

    def come_up(self) -> bytes | str:
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
