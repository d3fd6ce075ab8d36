"""Workers on a Ray cluster: one actor a processor, on any of its machines.

The cluster is the one in `RAY_ADDRESS`, or one started on this machine for the length of the run. Every machine needs
phi3v-data, and must reach input and output under the same addresses: a shared file system or an object store.

Any process of the cluster may be lost. Without an actor, or the machine that ran it, its items are done again by the
others. Without any machine, or without the control service (GCS), the run stops within half a minute; Ray itself would
wait for ever, or end this process without a word.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import msgspec

from ...schema.dependencies import require
from ...schema.errors import ConversionStopped, Phi3VDataError
from ...storage.outage import one_line
from .messages import Halted, Job, Work, encode
from .pool import Executor, WorkerExit, WorkerHandle, WorkerPool
from .work import Worker

__all__ = ["RayExecutor"]

# Seconds between two looks at the cluster, and how long its control service may be away; Ray gives up after 60.
_LOOK, _AWAY = 5.0, 20.0


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
        ConversionStopped: the cluster cannot be reached; or, while it runs, is lost.
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
        self._held = contextlib.ExitStack()
        self._control = _ControlService(ray.get_runtime_context().gcs_address)
        self._looked = time.monotonic()
        count = min(items, workers or int(ray.cluster_resources().get("CPU", 1)))
        self._actors = [_WorkerActor(job) for _ in range(count)]
        super().__init__(self._actors, item_timeout)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        with self._held:
            if self._control.answers():  # nothing can be ended through a cluster that is gone
                for actor in self._actors:
                    actor.end()
                if self._is_ours:
                    ray.shutdown()

    def __enter__(self) -> Executor:
        # Ray prints what happens to its machines; stdout is for results.
        self._held.enter_context(contextlib.redirect_stdout(sys.stderr))
        return super().__enter__()

    def _events(self, timeout: float) -> Iterator[tuple[WorkerHandle, bytes | WorkerExit]]:
        import ray

        if time.monotonic() - self._looked > _LOOK:
            self._check_cluster()
            self._looked = time.monotonic()
        waiting = {actor.awaited: actor for actor in self._actors if actor.awaited is not None}
        for reference in ray.wait(list(waiting), num_returns=1, timeout=timeout)[0]:
            actor = waiting[reference]
            try:
                outcome = actor.take(ray.get(reference))
            except (
                ray.exceptions.RayActorError,
                ray.exceptions.OutOfMemoryError,
                ray.exceptions.ObjectLostError,
            ) as error:
                self._check_cluster()
                exited = actor.exited(error, self._machines())
                self._log(f"a worker on the cluster exited ({exited.cause}); its items are done again")
                yield actor, exited
            except ray.exceptions.LocalRayletDiedError as error:
                raise ConversionStopped(
                    "the Ray process of this machine was lost; restart the cluster and rerun: progress is kept"
                ) from error
            else:
                if outcome is not None:
                    yield actor, outcome

    def _machines(self) -> set[str]:
        """Return the machines that are alive; none where nobody can say."""
        import ray

        return {node["NodeID"] for node in ray.nodes() if node["Alive"]} if self._control.answers() else set()

    def _check_cluster(self) -> None:
        if not self._control.answers():
            if self._control.away() < _AWAY:
                return
            raise ConversionStopped(
                f"the control service of the Ray cluster ({self._control.address}) has been away for "
                f"{self._control.away():.0f} s; restart the cluster and rerun: progress is kept"
            )
        if not any(actor.ready for actor in self._actors) and not self._machines():
            raise ConversionStopped(
                "no machine of the Ray cluster is left; restart the cluster and rerun: progress is kept"
            )


class _ControlService:
    """Whether the control service of a cluster takes connections, by its address `host:port`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._seen = time.monotonic()

    def answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
        except OSError:
            return False
        self._seen = time.monotonic()
        return True

    def away(self) -> float:
        """Return for how many seconds it has not answered."""
        return time.monotonic() - self._seen


def _connect() -> None:
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            os.environ.get("RAY_ADDRESS") or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConversionStopped(f"no Ray cluster can be reached: {one_line(error)}; check RAY_ADDRESS") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in the place


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

    def exited(self, error: Exception, machines: set[str]) -> WorkerExit:
        """Describe how the actor ended, given the machines that are alive."""
        if self._node is not None and self._node not in machines:
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
