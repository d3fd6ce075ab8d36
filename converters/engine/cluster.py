"""Workers on a Ray cluster: one actor a processor, on any of its machines.

The cluster is the one in `RAY_ADDRESS`, or one started on this machine for the length of the run. Every machine needs
phi3v-data, and must reach input and output under the same addresses: a shared file system or an object store.

Any process of the cluster may be lost. Without an actor, or the machine that ran it, its items are done again by the
others. Without any machine, or without the control service (GCS), the run stops within half a minute; Ray itself would
wait for ever, or end this process without a word.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ...schema.errors import ConversionStopped, RunError
from ...schema.ray_cluster import connect
from ...storage.outage import one_line
from .messages import Job, encode
from .pool import WorkerExit, WorkerHandle, WorkerPool
from .work import Worker

# Seconds between two looks at the cluster, and how long its control service may be away; Ray gives up after 60.
_LOOK, _AWAY = 5.0, 20.0


class RayExecutor(WorkerPool):
    """Actors on a Ray cluster. Those whose machine is lost are replaced as soon as there is room elsewhere.

    No more workers are started than there are items, by default one a processor of the cluster.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConversionStopped: the cluster cannot be reached; or, while it runs, is lost.
    """

    def __init__(
        self, job: Job, items: int, workers: int | None, item_timeout: float, log: Callable[[str], object]
    ) -> None:
        try:
            self._is_ours = connect()
        except RunError as error:
            raise ConversionStopped(str(error)) from error
        import ray

        self._ray, self._log = ray, log
        self._held = contextlib.ExitStack()
        self._control = ray.get_runtime_context().gcs_address
        self._looked = self._answered = time.monotonic()
        count = min(items, workers or int(ray.cluster_resources().get("CPU", 1)))
        self._actors = [_WorkerActor(ray, encode(job)) for _ in range(count)]
        super().__init__(self._actors, item_timeout)

    def __enter__(self) -> WorkerPool:
        # Ray prints what happens to its machines; stdout is for results.
        self._held.enter_context(contextlib.redirect_stdout(sys.stderr))
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        with self._held:
            if not self._away():  # nothing can be ended through a cluster that is gone
                for actor in self._actors:
                    actor.end()
                if self._is_ours:
                    self._ray.shutdown()

    def _events(self, timeout: float) -> Iterator[tuple[WorkerHandle, bytes | WorkerExit]]:
        if time.monotonic() - self._looked > _LOOK:
            self._check_cluster()
            self._looked = time.monotonic()
        ended = self._ray.exceptions
        waiting = {actor.calls[0]: actor for actor in self._actors if actor.calls}
        for reference in self._ray.wait(list(waiting), num_returns=1, timeout=timeout)[0]:
            actor = waiting[reference]
            try:
                answer = self._ray.get(reference)
            except (ended.RayActorError, ended.OutOfMemoryError, ended.ObjectLostError) as error:
                self._check_cluster()
                is_lost = actor.machine and actor.machine not in self._machines()
                exited = WorkerExit("its machine was lost", False) if is_lost else WorkerExit(one_line(error)[:300])
                self._log(f"a worker on the cluster exited ({exited.cause}); its items are done again")
                yield actor, exited
            except ended.LocalRayletDiedError as error:
                raise _lost("the Ray process of this machine was lost") from error
            else:
                actor.calls.popleft()
                if isinstance(answer, str):
                    actor.machine, answer = answer, b""
                yield actor, answer

    def _machines(self) -> set[str]:
        """Return the machines that are alive; none where nobody can say."""
        return set() if self._away() else {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def _check_cluster(self) -> None:
        away = self._away()
        if away >= _AWAY:
            raise _lost(f"the control service of the Ray cluster ({self._control}) has been away for {away:.0f} s")
        if not away and not any(actor.ready for actor in self._actors) and not self._machines():
            raise _lost("no machine of the Ray cluster is left")

    def _away(self) -> float:
        """Return for how many seconds the control service has taken no connection, 0 where it takes one now."""
        host, _, port = self._control.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
        except OSError:
            return time.monotonic() - self._answered
        self._answered = time.monotonic()
        return 0.0


def _lost(what: str) -> ConversionStopped:
    return ConversionStopped(f"{what}; restart the cluster and rerun: progress is kept")


class _WorkerActor(WorkerHandle):
    """One actor; `machine` is the one it has come up on, "" before."""

    def __init__(self, ray: Any, job: bytes) -> None:
        super().__init__()
        self._ray, self._job = ray, job
        self._handle: Any = None
        self.calls: deque[Any] = deque()  # references of the answers to come
        self.machine = ""

    def start(self) -> None:
        self.end()
        self.machine = ""
        self._handle = self._ray.remote(_RemoteWorker).options(num_cpus=1, max_restarts=0).remote(self._job)
        self.calls = deque([self._handle.machine.remote()])

    def send(self, work: bytes) -> None:
        self.calls.append(self._handle.convert.remote(work))

    def end(self) -> None:
        """End the actor, whatever it is at."""
        if self._handle is not None:
            self._ray.kill(self._handle)
            self._handle = None


class _RemoteWorker:
    """The actor itself."""

    def __init__(self, job: bytes) -> None:
        self._worker = Worker(msgspec.json.decode(job, type=Job))

    def machine(self) -> str:
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def convert(self, work: bytes) -> bytes:
        return self._worker.answer(work)
