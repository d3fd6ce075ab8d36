"""FSDP2: weights, gradients and optimizer states in shards, gathered layer by layer in the dtype of computation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from .single import SingleProcess

_LAYERS = ("Phi3DecoderLayer", "LastLayer", "CLIPEncoderLayer")


class Fsdp2(SingleProcess):
    """A shard of the model in each process."""

    @property
    def load_device(self) -> torch.device:
        """The CPU: it is sharded from there, a layer at a time."""
        return torch.device("cpu")

    def _distribute(self, model: nn.Module) -> nn.Module:
        mesh = init_device_mesh(self.device.type, (self.processes.world,))
        # Norms stay in float32 under autocast, so inputs are not cast.
        policy = MixedPrecisionPolicy(
            param_dtype=self.dtypes.compute,
            reduce_dtype=torch.promote_types(self.dtypes.trained, self.dtypes.compute),
            cast_forward_inputs=False,
        )
        # Quantised weights know their own form alone, and are small: each process keeps them whole.
        quantised = {parameter for parameter in model.parameters() if not parameter.is_floating_point()}
        for parameter in quantised:
            parameter.data = parameter.data.to(self.device)
        layers = [module for module in model.modules() if type(module).__name__ in _LAYERS]
        for module in (*layers, model):
            # One layer at a time is on the device as a whole.
            fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params=quantised)
        for buffer in model.buffers():
            buffer.data = buffer.data.to(self.device)
        return model

    def backward(self, loss: Tensor) -> None:
        """See `Backend.backward`."""
        super().backward(loss * self.processes.world)  # FSDP averages, where shares are to be added up

    def step(self, lr_share: float) -> Tensor:
        """See `Backend.step`."""
        return _whole(super().step(lr_share))

    def whole_state_dict(self) -> dict[str, Tensor]:
        """See `Backend.whole_state_dict`."""
        gathered = {}
        for name, tensor in self._to_save().items():
            whole = _whole(tensor.detach())
            if self.processes.first:
                gathered[name] = whole.to("cpu", copy=True)
        return gathered

    @contextlib.contextmanager
    def whole_model(self) -> Iterator[nn.Module]:
        """Gather everything in the dtype of computation; see `Backend.whole_model`."""
        shards = [module for module in self.bare.modules() if isinstance(module, FSDPModule)]
        for module in shards:
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()
        try:
            yield self.bare
        finally:
            for module in shards:
                module.reshard()
                module.set_reshard_after_forward(module is not self.bare, recurse=False)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
