"""DeepSpeed's engine: ZeRO-2 shards gradients and optimizer states, ZeRO-3 weights, too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...schema.dependencies import require
from ...schema.errors import UsageError
from ..config import TrainConfig
from ..optimizer import make_optimizer, set_learning_rates
from ..processes import Processes
from ..strategies.groups import ParameterGroup
from .base import LARGEST_BUCKET, Backend, OptimizerProgress
from .tensor_files import load_tensors, save_tensors

_MOMENTS = ("exp_avg", "exp_avg_sq")


class DeepSpeed(Backend):
    """Shards of gradients and optimizer states in each process; of weights, too, in stage 3.

    Checkpoints are those of the other backends, whole tensors written by the first process: any number of processes
    resumes from them, on any backend.

    Args:
        config: the run's.
        processes: those that train.
        stage: of ZeRO.

    Raises:
        MissingDependencyError: DeepSpeed is not installed.
        UsageError: a precision that the engine does not have here.
    """

    def __init__(self, config: TrainConfig, processes: Processes, stage: int) -> None:
        super().__init__(config, processes)
        require("deepspeed", purpose=f"--backend zero{stage}", extra="deepspeed")
        if self.dtypes.scaled:
            raise UsageError(f"--precision fp16 with --backend zero{stage}; use --precision bf16, or --backend fsdp2")
        self._stage = stage

    @property
    def load_device(self) -> torch.device:
        """The CPU in stage 3: what is sharded is placed from there."""
        return torch.device("cpu") if self._stage == 3 else self.device

    def prepare(self, model: nn.Module, groups: Sequence[ParameterGroup]) -> None:
        """Hand the model to the engine; see `Backend.prepare`."""
        import deepspeed

        self._deepspeed: Any = deepspeed
        self.bare = model
        self.optimizer = make_optimizer(groups, self.config.optimizer)
        trained = sum(parameter.numel() for _, parameter in self._trained())
        settings = {
            # Samples and micro-batches are counted by the loop: it says which one is a step's last.
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": self.config.optimizer.max_grad_norm,
            # The bucket is allocated whole, however few the gradients are.
            "zero_optimization": {"stage": self._stage, "reduce_bucket_size": min(LARGEST_BUCKET, trained)},
            "zero_allow_untested_optimizer": True,
            "torch_autocast": {"enabled": self.dtypes.autocast, "dtype": str(self.dtypes.compute).split(".")[1]},
            "bf16": {"enabled": self.dtypes.trained == torch.bfloat16},
        }
        self._engine: Any = deepspeed.initialize(model=model, optimizer=self.optimizer, config=settings)[0]
        self.model = self._engine
        self._make_states()

    @contextlib.contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """See `Backend.micro_batch`."""
        self._engine.set_gradient_accumulation_boundary(last)
        yield

    def backward(self, loss: Tensor) -> None:
        """See `Backend.backward`."""
        # The engine averages over processes, where shares are to be added up.
        self._engine.backward(loss * self.processes.world, scale_wrt_gas=False)

    def step(self, lr_share: float) -> Tensor:
        """See `Backend.step`."""
        set_learning_rates(self.optimizer, lr_share)
        self._engine.step()
        return torch.as_tensor(self._engine.get_global_grad_norm())

    def learning_rates(self, share: float) -> dict[str, float]:
        """See `Backend.learning_rates`."""
        return {group["name"]: group["peak_lr"] * share for group in self.optimizer.param_groups}

    def progress(self) -> OptimizerProgress:
        """See `Backend.progress`."""
        return OptimizerProgress(int(next(iter(self.optimizer.state.values()))["step"]))

    def save_state(self, folder: Path) -> Future[None]:
        """See `Backend.save_state`."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        tensors: dict[str, Tensor] = {}
        for name, parameter in self._trained():
            # Gathered in every process, a tensor at a time, and kept in one.
            whole = {"weights": safe_get_full_fp32_param(parameter)}
            whole |= {moment: safe_get_full_optimizer_state(parameter, moment) for moment in _MOMENTS}
            if self.processes.first:
                tensors |= {f"{kind}.{name}": tensor.to("cpu", copy=True) for kind, tensor in whole.items()}
        if self.processes.first:
            return save_tensors(tensors, folder, self.processes, spread=False)
        nothing: Future[None] = Future()
        nothing.set_result(None)
        return nothing

    def load_state(self, folder: Path, progress: OptimizerProgress) -> None:
        """See `Backend.load_state`."""
        shapes = {name: getattr(parameter, "ds_shape", parameter.shape) for name, parameter in self._trained()}
        kinds = ("weights", *_MOMENTS)
        tensors = {f"{kind}.{name}": torch.zeros(shape) for name, shape in shapes.items() for kind in kinds}
        load_tensors(tensors, folder, self.processes)
        for name, parameter in self._trained():
            for kind in kinds:
                self._set_whole(parameter, tensors[f"{kind}.{name}"].to(self.device), kind)
            with self._gathered([parameter], changed=True):
                parameter.data.copy_(tensors[f"weights.{name}"])
        for state in self.optimizer.state.values():
            state["step"] = torch.full_like(torch.as_tensor(state["step"]), progress.updates)

    def whole_state_dict(self) -> dict[str, Tensor]:
        """See `Backend.whole_state_dict`."""
        adapters = hasattr(self.bare, "peft_config")
        state: dict[str, Tensor] = {} if adapters else dict(self.bare.state_dict(keep_vars=True))
        wanted = dict(self._trained()) if adapters else state
        whole = {}
        for name, tensor in wanted.items():
            with self._gathered([tensor]):
                if self.processes.first:
                    whole[name] = tensor.detach().to("cpu", copy=True)
        return whole

    @contextlib.contextmanager
    def whole_model(self) -> Iterator[nn.Module]:
        """Gather everything where it is in shards; see `Backend.whole_model`."""
        with self._gathered(list(self.bare.parameters())), _without_hooks(self.bare):
            yield self.bare

    def _make_states(self) -> None:
        """Make the optimizer's states, which torch makes at the first step: of several groups, too, they are then
        known by the parameters they belong to."""
        zero = self._engine.optimizer
        for partition in (
            zero.single_partition_of_fp32_groups if self._stage == 2 else zero.fp32_partitioned_groups_flat
        ):
            count = torch.tensor(0.0, device=self.device if self.device.type == "cuda" else None)
            moments = {moment: torch.zeros_like(partition, requires_grad=False) for moment in _MOMENTS}
            self.optimizer.state[partition] = {"step": count, **moments}
        if self._stage == 2:
            zero._lazy_init_hp_params_optimizer_state()

    def _set_whole(self, parameter: nn.Parameter, whole: Tensor, kind: str) -> None:
        """Set a parameter's float32 weights or one of its moments, each process its own part."""
        from deepspeed import utils

        if self._stage == 2:
            if kind == "weights":
                utils.safe_set_full_fp32_param(parameter, whole)
            else:
                utils.safe_set_full_optimizer_state(parameter, whole, kind)
            return
        shard: Any = parameter.ds_tensor  # type: ignore[attr-defined]  # given to it by stage 3
        size = shard.ds_numel
        # The last parts are padded to the size of the others.
        padded = nn.functional.pad(whole.flatten(), (0, size * self.processes.world - whole.numel()))
        own = padded.narrow(0, size * self.processes.rank, size)
        if kind == "weights":
            utils.safe_set_local_fp32_param(parameter, own)
        else:
            utils.safe_set_local_optimizer_state(parameter, own, kind)

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, parameter) for name, parameter in self.bare.named_parameters() if parameter.requires_grad]

    def _gathered(self, tensors: Sequence[Tensor], *, changed: bool = False) -> contextlib.AbstractContextManager[Any]:
        """Have whole tensors of what stage 3 keeps in shards; what is changed in the first process, all get."""
        sharded = [tensor for tensor in tensors if hasattr(tensor, "ds_id")]
        if not sharded:
            return contextlib.nullcontext()
        gathered: contextlib.AbstractContextManager[Any] = self._deepspeed.zero.GatheredParameters(
            sharded, modifier_rank=0 if changed else None
        )
        return gathered


@contextlib.contextmanager
def _without_hooks(model: nn.Module) -> Iterator[None]:
    """Call modules without the engine's hooks: of a module that has run, stage 3 releases the weights again, and would
    gather them for the next call from processes that may make none."""
    hooks = [each for module in model.modules() for each in (module._forward_pre_hooks, module._forward_hooks)]
    kept = [dict(each) for each in hooks]
    for each in hooks:
        each.clear()
    try:
        yield
    finally:
        for each, items in zip(hooks, kept, strict=True):
            each.update(items)
