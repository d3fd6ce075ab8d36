"""One process: the model and its optimizer as torch has them. DDP and FSDP2 differ in little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import torch
from torch import Tensor, nn

from ..kahan import KahanAdamW, exact_weights, set_exact_weights
from ..optimizer import make_optimizer, set_learning_rates
from ..strategies.groups import ParameterGroup
from .base import Backend, OptimizerProgress
from .tensor_files import load_tensors, save_tensors

_MOMENTS = ("exp_avg", "exp_avg_sq")


class SingleProcess(Backend):
    """The whole model in this process."""

    def prepare(self, model: nn.Module, groups: Sequence[ParameterGroup]) -> None:
        """Place the model on the device, and make its optimizer; see `Backend.prepare`."""
        self.bare = model
        names = {parameter: name for name, parameter in model.named_parameters()}
        of_group = [[names[parameter] for parameter in group["params"]] for group in groups]
        self.model = self._distribute(model)
        # Sharding puts other parameters in the place of those that there were.
        now = dict(model.named_parameters())
        placed = [
            {**group, "params": [now[name] for name in named]} for group, named in zip(groups, of_group, strict=True)
        ]
        self.optimizer = make_optimizer(placed, self.config.optimizer, kahan=self.dtypes.trained == torch.bfloat16)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtypes.scaled)

    def _distribute(self, model: nn.Module) -> nn.Module:
        """Place the model, and return what forward passes are taken with."""
        return model.to(self.device)

    def backward(self, loss: Tensor) -> None:
        """See `Backend.backward`."""
        self.scaler.scale(loss).backward()

    def step(self, lr_share: float) -> Tensor:
        """See `Backend.step`."""
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._trained().values(), self.config.optimizer.max_grad_norm)
        set_learning_rates(self.optimizer, lr_share)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def learning_rates(self, share: float) -> dict[str, float]:
        """See `Backend.learning_rates`."""
        return {group["name"]: group["peak_lr"] * share for group in self.optimizer.param_groups}

    def progress(self) -> OptimizerProgress:
        """See `Backend.progress`."""
        states = list(self.optimizer.state.values())
        return OptimizerProgress(int(states[0]["step"]) if states else 0, self.scaler.state_dict())

    def save_state(self, folder: Path) -> Future[None]:
        """See `Backend.save_state`."""
        return save_tensors(self._tensors(), folder, self.processes)

    def load_state(self, folder: Path, progress: OptimizerProgress) -> None:
        """See `Backend.load_state`."""
        trained = self._trained()
        for parameter in trained.values():
            # The fused optimizer wants its count where the weights are.
            count = torch.tensor(float(progress.updates), device=self.device)
            moments = {name: torch.zeros_like(parameter, requires_grad=False) for name in _MOMENTS}
            self.optimizer.state[parameter] = {"step": count, **moments}
            if self._exact:
                set_exact_weights(parameter, self.optimizer.state[parameter], parameter.detach().float())
        tensors = self._tensors()
        load_tensors(tensors, folder, self.processes)
        for name, parameter in trained.items() if self._exact else ():
            set_exact_weights(parameter, self.optimizer.state[parameter], tensors[f"weights.{name}"])
        if self.scaler.is_enabled() and progress.scaler:
            self.scaler.load_state_dict(progress.scaler)

    def whole_state_dict(self) -> dict[str, Tensor]:
        """See `Backend.whole_state_dict`."""
        if not self.processes.first:
            return {}
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self._to_save().items()}

    @contextlib.contextmanager
    def whole_model(self) -> Iterator[nn.Module]:
        """See `Backend.whole_model`."""
        yield self.bare

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.bare.named_parameters() if parameter.requires_grad}

    @property
    def _exact(self) -> bool:
        """Whether the optimizer keeps what rounding takes from the weights."""
        return isinstance(self.optimizer, KahanAdamW)

    def _to_save(self) -> dict[str, Tensor]:
        adapters = hasattr(self.bare, "peft_config")
        return dict(self._trained()) if adapters else self.bare.state_dict()

    def _tensors(self) -> dict[str, Tensor]:
        trained = self._trained()
        tensors = {f"weights.{name}": parameter.detach() for name, parameter in trained.items()}
        if self._exact and self.optimizer.state:
            tensors = {f"weights.{name}": exact_weights(p, self.optimizer.state[p]) for name, p in trained.items()}
        for moment in _MOMENTS if self.optimizer.state else ():
            tensors |= {f"{moment}.{name}": self.optimizer.state[p][moment] for name, p in trained.items()}
        return tensors
