"""A step is queued on the device without waiting for it: everything that depends on values comes from the collator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from no_sync import HostWait, no_host_wait
from torch import Tensor

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.index import RecordIndex
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.collate import PackedCollator, join_images
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.model_folder import load_trainable
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor

Run = Callable[..., TrainConfig]
_IMAGE = tiny_processor().image_token_id


def _samples(dataset: Dataset) -> list[Sample]:
    source = SampleSource(RecordIndex(dataset, "train"), tiny_processor())
    return [source[number] for number in range(len(source))]


@pytest.mark.parametrize("attention", ["varlen", "sdpa"])
@pytest.mark.parametrize("strategy", ["full", "frozen-vision", "lora"])
def test_forward_and_backward_of_a_packed_micro_batch_wait_for_nothing(
    mixed_conversations: Dataset, tiny_run: Run, strategy: str, attention: str
) -> None:
    settings = {"strategy": strategy, "model.attention": attention, "lora.rank": 4, "model.precision": "bf16"}
    model = load_trainable(tiny_run({**settings, "model.gradient_checkpointing": 1}))
    rows = _samples(mixed_conversations)
    text_only = [sample for sample in rows if not sample.images]
    for samples in (rows, text_only, []):
        batch = PackedCollator(0, _IMAGE)(samples)
        with no_host_wait(), torch.autocast("cpu", dtype=torch.bfloat16):
            model(**batch).loss.backward()


@pytest.mark.parametrize(
    "wait",
    [
        lambda values: values.sum().item(),
        lambda values: values.tolist(),
        lambda values: bool(values.any()),
        lambda values: values.nonzero(),
        lambda values: values[values > 1],
        lambda values: torch.repeat_interleave(values, values),
        lambda values: values.float().masked_scatter(values > 1, torch.ones(3)),
    ],
    ids=["item", "tolist", "any", "nonzero", "mask", "repeat_interleave", "masked_scatter"],
)
def test_the_check_fires_at_whatever_waits(wait: Callable[[Tensor], object]) -> None:
    values = torch.arange(3)
    with no_host_wait():
        values + 1
        with pytest.raises(HostWait):
            wait(values)


@pytest.mark.parametrize("left_out", ["image_token_indices", "image_grids"])
def test_without_what_the_collator_computes_the_device_is_waited_for(
    mixed_conversations: Dataset, left_out: str
) -> None:
    rows = _samples(mixed_conversations)
    batch: dict[str, Any] = {**PackedCollator(0, _IMAGE)(rows), **join_images(rows)}
    del batch[left_out]
    with no_host_wait(), pytest.raises(HostWait):
        tiny_model()(**batch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU to wait for")
@pytest.mark.parametrize("strategy", ["full", "frozen-vision", "lora"])
def test_cuda_itself_sees_no_wait(mixed_conversations: Dataset, tiny_run: Run, strategy: str) -> None:
    model = load_trainable(tiny_run({"strategy": strategy, "lora.rank": 4, "model.precision": "bf16"}))
    made = PackedCollator(0, _IMAGE)(_samples(mixed_conversations))
    batch = {name: value.cuda() if isinstance(value, Tensor) else value for name, value in made.items()}
    with torch.autocast("cuda", dtype=torch.bfloat16):
        model(**batch).loss.backward()  # kernels are chosen and constants copied once
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(**batch).loss.backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
