"""The process group: the processes that torchrun started, or one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from ..schema.cores import core_count
from ..schema.errors import Phi3VDataError, UsageError
from .launch import rank_environment

Value = TypeVar("Value")

_MOST_LOADERS = 8
# Between two steps a process may build an index, wait for a store or evaluate for hours; inside a step none of them
# waits that long unless another is gone. A process that exits is noticed at once: torchrun ends the others.
_BETWEEN_STEPS = timedelta(days=1)
_IN_A_STEP = timedelta(minutes=30)


class Processes:
    """This process among those that train together.

    Args:
        rank: number of this process, from 0.
        world: how many there are.
        local_rank: number of this process on its node.
    """

    def __init__(self, rank: int = 0, world: int = 1, local_rank: int = 0) -> None:
        self.rank = rank
        self.world = world
        self.local_rank = local_rank
        self._is_own = False
        self.host_group: dist.ProcessGroup | None = None
        """Gloo, with a long timeout: for objects and barriers; None in a single process."""
        self.writer_group: dist.ProcessGroup | None = None
        """The same for the threads that write checkpoints: what two threads ask of one group would be mixed up."""

    @classmethod
    def init(cls) -> Processes:
        """Initialise the process group: NCCL for tensors where there are GPUs, gloo for all else.

        A group that a program has initialised itself is used, and left to it.

        Raises:
            UsageError: torchrun's variables are there in part, or a node has fewer GPUs than processes.
        """
        os.environ.update(rank_environment(os.environ))
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        is_own = not dist.is_initialized()
        local_rank = cls._join() if is_own else int(os.environ["LOCAL_RANK"])
        processes = cls(dist.get_rank(), dist.get_world_size(), local_rank)
        processes._is_own = is_own
        processes.host_group = dist.new_group(backend="gloo", timeout=_BETWEEN_STEPS)
        processes.writer_group = dist.new_group(backend="gloo", timeout=_BETWEEN_STEPS)
        return processes

    @staticmethod
    def _join() -> int:
        """Initialise the default group, and return the number of this process on its node."""
        world = os.environ["WORLD_SIZE"]
        missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            hint = "start it as: torchrun --nproc-per-node N -m phi3v_data.cli train ..."
            raise UsageError(f"WORLD_SIZE is {world}, but {', '.join(missing)} is not set; {hint}")
        local_rank = int(os.environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            gpus = torch.cuda.device_count()
            if local_rank >= gpus:
                raise UsageError(f"process {local_rank} on a node with {gpus} GPUs; use --nproc-per-node {gpus}")
            torch.cuda.set_device(local_rank)
            dist.init_process_group("nccl", timeout=_IN_A_STEP, device_id=torch.device("cuda", local_rank))
        else:
            dist.init_process_group("gloo", timeout=_IN_A_STEP)
        return local_rank

    @property
    def first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The device that this process trains on."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier(group=self.host_group)

    def gather(self, value: Value) -> list[Value]:
        """Return every process's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Value | None] = [None] * self.world
        dist.all_gather_object(values, value, group=self.host_group)
        return values  # type: ignore[return-value]  # all of them are filled now

    def sum(self, values: Sequence[torch.Tensor | float]) -> list[float]:
        """Return the sums over all processes of some numbers; waits for the device once."""
        totals = torch.stack([torch.as_tensor(value, dtype=torch.float64, device=self.device) for value in values])
        if self.world > 1:
            dist.all_reduce(totals)
        sums: list[float] = totals.tolist()
        return sums

    def by_first(self, action: Callable[[], Value]) -> Value:
        """Run an action in the first process, and return its result in all; what it raises, all raise."""
        outcome: list[Value | Phi3VDataError | None] = [None]
        if self.first:
            try:
                outcome = [action()]
            except Phi3VDataError as error:
                outcome = [error]
        if self.world > 1:
            dist.broadcast_object_list(outcome, src=0, group=self.host_group)
        if isinstance(outcome[0], Phi3VDataError):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]  # what the action returned

    def on_node_first(self, action: Callable[[], Value]) -> Value:
        """Run an action in one process of each node before the node's other processes run it, too.

        What it leaves on the node's disk is there for them. What it raises in any process, all raise.
        """
        outcome: Value | None = None
        error: Phi3VDataError | None = None
        for turn in (True, False):
            if (self.local_rank == 0) is turn and error is None:
                try:
                    outcome = action()
                except Phi3VDataError as raised:
                    error = raised
            error = next((each for each in self.gather(error) if each is not None), None)
        if error is not None:
            raise error
        return outcome  # type: ignore[return-value]  # what the action returned

    def loaders(self) -> int:
        """Return how many worker processes load data for this one: one a core, up to 8; none without a GPU."""
        if not torch.cuda.is_available():
            return 0
        on_node = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return min(_MOST_LOADERS, core_count() // on_node)

    def shutdown(self) -> None:
        """Destroy the process group, at the end of a run that went well."""
        if self._is_own:
            dist.destroy_process_group()
