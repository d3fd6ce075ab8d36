"""What a training step holds in memory, measured on tensors that have shapes and no data.

The real model runs forward and backward under torch's `FakeTensorMode`, at its real size, on any machine. Every storage
is counted from when an operation makes it until it is released.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from phi3v_data.schema.vision_tokens import CropGrid
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.phi3v import Phi3VConfig, Phi3VForCausalLM
from phi3v_data.trainer.phi3v.packing import packed_row
from phi3v_data.trainer.precision import dtypes_of
from phi3v_data.trainer.strategies import apply_strategy


class Measured(NamedTuple):
    """Bytes: of all weights, of the gradients, and the most that activations and temporaries take beside them."""

    weights: int
    gradients: int
    activations: int


class _Peak(TorchDispatchMode):
    """Counts the bytes of every storage that is alive."""

    def __init__(self, known: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self.live = self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def measure_step(
    config: TrainConfig, model_config: Phi3VConfig, grids: Sequence[CropGrid], text_tokens: int, supervised: int
) -> Measured:
    """Take two micro-batches of one sample; the second one finds the gradients of the first in place.

    Args:
        config: strategy, precision, gradient checkpointing.
        model_config: the model's shapes.
        grids: of the sample's images.
        text_tokens: beside the images'.
        supervised: of them.
    """
    model = _on_fake_tensors(config, model_config)
    image_tokens = sum(grid.tokens for grid in grids)
    tokens = image_tokens + text_tokens
    crops, side = sum(grid.rows * grid.columns for grid in grids), model_config.crop_geometry.crop_size
    with FakeTensorMode(allow_non_fake_inputs=True):
        _materialise(model)
        inputs: dict[str, Any] = {
            "input_ids": torch.zeros(1, tokens, dtype=torch.long),
            **packed_row([tokens]),
            "target_positions": torch.arange(tokens - supervised, tokens),
            "targets": torch.zeros(supervised, dtype=torch.long),
            "image_token_indices": torch.arange(image_tokens),
        }
        if grids:
            inputs["pixel_values"] = torch.zeros(crops, 3, side, side, dtype=torch.uint8)
            inputs["image_grids"] = tuple(grids)
        parameters = list(model.parameters())
        dtypes = dtypes_of(config.model.precision)
        with _Peak(parameters) as peak:
            for _ in range(2):
                before, peak.peak = peak.live, peak.live
                with torch.autocast("cpu", dtypes.compute, enabled=dtypes.autocast, cache_enabled=False):
                    loss = model(**inputs).loss
                loss.backward()
                del loss
    gradients = sum(parameter.grad.nbytes for parameter in parameters if parameter.grad is not None)
    return Measured(sum(parameter.nbytes for parameter in parameters), gradients, peak.peak - before)


def _on_fake_tensors(config: TrainConfig, model_config: Phi3VConfig) -> nn.Module:
    """Build the model without memory, as the strategy has it; 4-bit weights stay in the frozen dtype."""
    import msgspec

    strategy = "lora" if config.strategy == "qlora" else config.strategy
    with torch.device("meta"):
        bare = Phi3VForCausalLM(model_config)
        model = apply_strategy(bare, msgspec.structs.replace(config, strategy=strategy))
    bare.checkpoint_activations(config.model.gradient_checkpointing)
    model.train()
    return model


def _materialise(model: nn.Module) -> None:
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype)
                module._parameters[name] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
