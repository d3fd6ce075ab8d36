"""The processes that train together: those that torchrun started, or one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch

from ..schema.errors import Phi3VDataError, UsageError

__all__ = ["Processes"]

Value = TypeVar("Value")

_MOST_LOADERS = 8
# While one builds an index, waits for a store or judges, the others wait for it; torch would give up after 10 minutes.
# A process that dies is not waited for: torchrun ends the others.
_RETRY = timedelta(days=1)


class Processes:
    """This process among those that train together; the others are met here.

    Args:
        rank: number of this process, from 0.
        world: how many there are.
        local_rank: number of this process on its node.
    """

    def __init__(self, rank: int = 0, world: int = 1, local_rank: int = 0) -> None:
        self.rank = rank
        self.world = world
        self.local_rank = local_rank

    @classmethod
    def meet(cls) -> Processes:
        """Connect to the others, by NCCL where there are GPUs and by Gloo where there are none.

        Raises:
            UsageError: torchrun's variables are there in part.
        """
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            hint = "start it as: torchrun --nproc-per-node N -m phi3v_data.cli train ..."
            raise UsageError(f"WORLD_SIZE is {world}, but {', '.join(missing)} is not set; {hint}")
        local_rank = int(os.environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank)
            torch.distributed.init_process_group("nccl", timeout=_RETRY, device_id=torch.device("cuda", local_rank))
        else:
            torch.distributed.init_process_group("gloo", timeout=_RETRY)
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size(), local_rank)

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all are here."""
        if self.world > 1:
            torch.distributed.barrier()

    def gather(self, value: Value) -> list[Value]:
        """Return everybody's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Value | None] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all of them are filled now

    def by_first(self, action: Callable[[], Value]) -> Value:
        """Let the first process do something, and return to all what it found; what it raises, all raise."""
        outcome: list[Value | Phi3VDataError | None] = [None]
        if self.first:
            try:
                outcome = [action()]
            except Phi3VDataError as error:
                outcome = [error]
        if self.world > 1:
            torch.distributed.broadcast_object_list(outcome, src=0)
        if isinstance(outcome[0], Phi3VDataError):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]  # what the action returned

    def on_node_first(self, action: Callable[[], Value]) -> Value:
        """Let one process of each node do something before the others of the node do it, too.

        What it leaves on the node's disk is there for them. If it fails, it leaves them waiting for the end of the
        run, which torchrun brings about.
        """
        if self.local_rank == 0:
            value = action()
            self.wait()
            return value
        self.wait()
        return action()

    def loaders(self) -> int:
        """Return how many processes should load data for this one: a core each, up to 8; none without a GPU to feed."""
        if not torch.cuda.is_available():
            return 0
        on_node = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return min(_MOST_LOADERS, len(os.sched_getaffinity(0)) // on_node)

    def part(self) -> None:
        """Leave the others; to be called at the end of a run that went well."""
        if self.world > 1:
            torch.distributed.destroy_process_group()
