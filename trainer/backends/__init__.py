"""What a training loop runs on: one process, DDP, FSDP2 or DeepSpeed. The loop knows the seam alone.

::

    base         the seam: prepare, backward, step, save_state, load_state, whole_state_dict, whole_model
    single       one process                        ddp          a replica a process
    fsdp2        shards of everything               deepspeed    ZeRO-2 and ZeRO-3
    tensor_files the state of a run on disk: named tensors, whoever holds which part of them
"""

from __future__ import annotations

from ...schema.errors import UsageError
from ..config import BackendName, TrainConfig
from ..processes import Processes
from .base import Backend

__all__ = ["Backend", "choose_backend", "make_backend"]


def choose_backend(config: TrainConfig, world: int) -> BackendName:
    """Return the backend that a run takes: the one named, or else one by the number of processes.

    Raises:
        UsageError: it takes several processes, and there is one; or the reverse.
    """
    named = config.backend
    if named == "auto":
        if world == 1:
            return "single"
        # Adapters are small: their gradients are quickly shared, and nothing else needs to be.
        return "ddp" if config.strategy in ("lora", "qlora") else "fsdp2"
    if named == "single" and world > 1:
        raise UsageError(f"--backend single with {world} processes; use --backend ddp, fsdp2, zero2 or zero3")
    if named != "single" and world == 1:
        hint = "give --gpus N, start it by torchrun (also on CPUs), or leave --backend out"
        raise UsageError(f"--backend {named} with one process; {hint}")
    return named


def make_backend(config: TrainConfig, processes: Processes) -> Backend:
    """Make the backend of a run; its package is imported here.

    Raises:
        MissingDependencyError: DeepSpeed is not installed.
        UsageError: see `choose_backend`.
    """
    name = choose_backend(config, processes.world)
    if name == "single":
        from .single import SingleProcess

        return SingleProcess(config, processes)
    if name == "ddp":
        from .ddp import Ddp

        return Ddp(config, processes)
    if name == "fsdp2":
        from .fsdp2 import Fsdp2

        return Fsdp2(config, processes)
    from .deepspeed import DeepSpeed

    return DeepSpeed(config, processes, stage=2 if name == "zero2" else 3)
