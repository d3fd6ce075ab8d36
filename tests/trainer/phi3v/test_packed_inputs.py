"""What is not a packed row is refused, and what a kernel has no form for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from packed_samples import small_model
from transformers.cache_utils import DynamicCache

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import packing


def _row_of(lengths: Sequence[int]) -> dict[str, Any]:
    return {**packing.packed_row([5]), "sample_lengths": tuple(lengths), "cu_seq_lens": torch.zeros(len(lengths) + 1)}


@pytest.mark.parametrize("lengths", [[4], [3, 3], [5, 0], [6, -1], []])
def test_lengths_that_do_not_fill_the_row_are_refused(lengths: list[int]) -> None:
    with pytest.raises(UsageError, match="expected one row of samples"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **_row_of(lengths))


def test_bounds_of_other_samples_are_refused() -> None:
    row = {**packing.packed_row([2, 3]), "sample_lengths": (5,)}
    with pytest.raises(UsageError, match="3 bounds"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **row)


def test_packed_samples_in_two_rows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"in rows and tokens \[2, 5\]"):
        small_model("sdpa")(torch.ones(2, 5, dtype=torch.long), **packing.packed_row([5]))


@pytest.mark.parametrize("missing", ["sample_lengths", "position_ids"])
def test_bounds_alone_do_not_tell_where_samples_lie(missing: str) -> None:
    row = {name: value for name, value in packing.packed_row([5]).items() if name != missing}
    with pytest.raises(UsageError, match="pass all that packed_row makes"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **row)


@pytest.mark.parametrize(
    "beside",
    [{"attention_mask": torch.ones(1, 5)}, {"use_cache": True}, {"past_key_values": DynamicCache()}],
    ids=lambda beside: next(iter(beside)),
)
def test_a_mask_or_a_cache_beside_packed_samples_is_refused(beside: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="packed samples take neither"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **packing.packed_row([5]), **beside)


def test_a_kernel_without_a_form_for_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="attention 'flex_attention'"):
        small_model("flex_attention")(torch.ones(1, 5, dtype=torch.long), **packing.packed_row([5]))
