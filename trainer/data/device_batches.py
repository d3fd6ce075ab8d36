"""Micro-batches on the device, the next one copied while the present one is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from .loader import MicroBatch


def on_device(batches: Iterable[MicroBatch], device: torch.device) -> Iterator[MicroBatch]:
    """Move the tensors of each micro-batch's inputs to a device.

    On a GPU they are copied from pinned memory on a stream of their own, one micro-batch ahead, so that neither the
    copies nor the host hold the computation up.
    """
    if device.type != "cuda":
        for batch in batches:
            yield batch._replace(inputs=moved(batch.inputs, device))
        return
    copies = torch.cuda.Stream(device)
    ahead: tuple[MicroBatch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copies):
            copied = batch._replace(inputs=moved(batch.inputs, device))
            done = copies.record_event()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = copied, done
    if ahead is not None:
        yield _arrived(*ahead)


def _arrived(batch: MicroBatch, copied: torch.cuda.Event) -> MicroBatch:
    compute = torch.cuda.current_stream()
    compute.wait_event(copied)
    for value in batch.inputs.values():
        if isinstance(value, torch.Tensor):
            # Their memory belongs to the stream of copies, which must not use it again before this one is done.
            value.record_stream(compute)
    return batch


def moved(inputs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Move the tensors of a micro-batch to a device; what is not a tensor stays as it is."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
    }
