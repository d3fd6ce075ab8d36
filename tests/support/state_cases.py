"""What each rank holds of a run's weights, gradients and optimizer states, measured with the real backends.

    torchrun --nproc-per-node 2 state_cases.py CASES.json

CASES.json is a list of objects with `settings` and `out`; each rank writes `<out>.rank-<rank>.json`: the bytes of all
storages that are alive after the backward pass, and were not before the model was loaded, and the model's own weights.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from phi3v_data.trainer.backends import make_backend
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.collate import PackedCollator
from phi3v_data.trainer.model_folder import load_trainable
from phi3v_data.trainer.precision import autocast
from phi3v_data.trainer.processes import Processes
from phi3v_data.trainer.quiet import quiet_libraries
from phi3v_data.trainer.strategies import parameter_groups


def held_after_backward(config: TrainConfig, processes: Processes) -> dict[str, int]:
    """Take a step, then another forward and backward pass, and count what is held before the second update."""
    before = _storages()
    backend = make_backend(config, processes)
    model = load_trainable(config, backend.load_device)
    backend.prepare(model, parameter_groups(model, config))
    inputs = PackedCollator(0, 5)([])
    targets = {"target_positions": torch.tensor([0]), "targets": torch.tensor([1])}
    for last in (False, True):
        with backend.micro_batch(last=True):
            with autocast(backend.dtypes, backend.device):
                loss = backend.model(**{**inputs, **targets}).loss
            backend.backward(loss)
        del loss
        if not last:
            backend.step(1.0)
    after = _storages()
    return {"held": sum(size for key, size in after.items() if key not in before)}


def _storages() -> dict[int, int]:
    """The size of every storage that a Python object holds, by its address."""
    gc.collect()
    found: dict[int, int] = {}
    for each in gc.get_objects():
        if issubclass(type(each), torch.Tensor):
            for tensor in (each, each.grad if each.is_leaf else None):
                local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
                if isinstance(local, torch.Tensor) and local.device.type == "cpu":
                    storage = local.untyped_storage()
                    found[storage._cdata] = storage.nbytes()
    return found


def main() -> None:
    from tiny_runs import tiny_config

    quiet_libraries()
    torch.distributed.init_process_group("gloo")
    processes = Processes.init()
    cases: list[dict[str, Any]] = json.loads(Path(sys.argv[1]).read_text())
    for case in cases:
        held = held_after_backward(tiny_config(case["settings"]), processes)
        Path(f"{case['out']}.rank-{processes.rank}.json").write_text(json.dumps(held))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
