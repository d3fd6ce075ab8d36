"""Refuse whatever would make the CPU wait for a GPU, on a machine that has none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
# What needs values of a tensor on the CPU: numbers, or the size of a result that depends on them.
_WAITS = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.unique_dim.default,
    _aten._unique2.default,
    _aten.repeat_interleave.Tensor,
    _aten.equal.default,
}
# Not a wait, but temporaries of several times the embeddings' size.
_WASTES = {_aten.masked_scatter.default, _aten.masked_scatter_.default}


class HostWait(AssertionError):
    """Something was computed that a GPU would be waited for."""


# What reads values without an operation that is dispatched.
_READS = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu}


@contextlib.contextmanager
def no_host_wait() -> Iterator[None]:
    """Raise `HostWait` where a GPU would be waited for: `item`, `tolist`, `nonzero`, masks as indices."""
    with _NoReads(), _NoWaits():
        yield


class _NoReads(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call what reads no values."""
        if func in _READS:
            raise HostWait(f"{func} in a forward or backward pass")
        return func(*args, **(kwargs or {}))


class _NoWaits(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation that does not wait."""
        if func in _WAITS or func in _WASTES or _indexes_by_mask(func, args):
            raise HostWait(f"{func} in a forward or backward pass")
        return func(*args, **(kwargs or {}))


def _indexes_by_mask(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    if func not in (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default):
        return False
    return any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1])
