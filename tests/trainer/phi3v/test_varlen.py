"""torch's varlen kernel is taken where it runs; elsewhere each sample is attended to by itself."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from packed_samples import pack, random_text, small_model
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from phi3v_data.trainer.phi3v import varlen


@pytest.mark.parametrize("capability", [(7, 0), (7, 5), (8, 0), (9, 0)])
def test_torchs_kernel_is_taken_on_cuda_in_half_precision_since_ampere(capability: tuple[int, int]) -> None:
    def runs(device: str, dtype: torch.dtype) -> bool:
        value: Any = SimpleNamespace(is_cuda=device == "cuda", dtype=dtype, device=torch.device(device))
        return varlen.runs_torch_kernel(value)

    varlen._compute_capability.cache_clear()
    with mock.patch.object(torch.cuda, "get_device_capability", return_value=capability):
        for half in (torch.bfloat16, torch.float16):
            assert runs("cuda", half) == (capability >= (8, 0))
            assert not runs("cpu", half)
        assert not runs("cuda", torch.float32)
    varlen._compute_capability.cache_clear()


def test_torchs_kernel_is_called_by_the_signature_that_is_installed() -> None:
    kernel = varlen.torch_kernel.__wrapped__()
    assert kernel is not None, "the torch of constraints.txt has it"
    inspect.signature(kernel).bind(*range(7), scale=1.0, window_size=(-1, 0), enable_gqa=False)


def _kernel_of_torch_2_10(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool,
) -> Tensor:
    raise AssertionError("it takes other arguments")


@pytest.mark.parametrize("module", [None, SimpleNamespace(varlen_attn=_kernel_of_torch_2_10)], ids=["older", "2.10"])
def test_a_torch_without_the_kernel_or_with_another_signature_does_without(module: SimpleNamespace | None) -> None:
    with mock.patch.dict("sys.modules", {"torch.nn.attention.varlen": module}):
        assert varlen.torch_kernel.__wrapped__() is None


def test_no_sample_pays_for_its_neighbours_in_varlen() -> None:
    seen: list[int] = []

    def count(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(query.shape[2])
        return scaled_dot_product_attention(query, *args, **kwargs)

    samples = [random_text(length, length) for length in (9, 6, 30)]
    with mock.patch.object(varlen, "scaled_dot_product_attention", count), torch.no_grad():
        model = small_model("varlen")
        model(**pack(samples))
    assert seen == [9, 6, 30] * len(model.model.layers)
