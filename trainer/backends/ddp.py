"""DDP: a replica in each process, gradients averaged while they are computed."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .single import SingleProcess


class Ddp(SingleProcess):
    """The whole model in each process."""

    def _distribute(self, model: nn.Module) -> nn.Module:
        devices = [self.device] if self.device.type == "cuda" else None
        # Buffers never change; the option that leaves them alone has had another name since torch 2.13.
        known = inspect.signature(DistributedDataParallel.__init__).parameters
        buffers: dict[str, Any] = {
            "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
        }
        self._replica = DistributedDataParallel(
            super()._distribute(model), device_ids=devices, gradient_as_bucket_view=True, **buffers
        )
        return self._replica

    def micro_batch(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Share gradients after the last micro-batch only; see `Backend.micro_batch`."""
        context: contextlib.AbstractContextManager[None] = contextlib.nullcontext() if last else self._replica.no_sync()
        return context

    def backward(self, loss: Tensor) -> None:
        """See `Backend.backward`."""
        super().backward(loss * self.processes.world)  # DDP averages, where shares are to be added up
