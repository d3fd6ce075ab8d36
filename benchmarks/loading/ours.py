"""Our own data path, from a dataset folder to the tensors of a forward pass, and the recipe's over the same folder."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.index import RecordIndex
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.prompt import encode_record
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.config import DataConfig
from phi3v_data.trainer.data.assign import assign
from phi3v_data.trainer.data.collate import PackedCollator
from phi3v_data.trainer.data.crops import scaled_image
from phi3v_data.trainer.data.loader import MicroBatch, RankSteps, micro_batches, opened
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.data.training_data import TrainingData
from phi3v_data.trainer.phi3v import Phi3VProcessor

from .samples import RawSample

Tensors = dict[str, torch.Tensor]


def write_dataset(samples: Sequence[RawSample], folder: Path) -> None:
    """Write samples as a dataset folder."""
    write_records(LocalFolder(folder), "bench_train.jsonl", [raw.record for raw in samples])
    for raw in samples:
        for name, data in zip(raw.record.images(), raw.images, strict=True):
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def our_batches(folder: Path, processor: Phi3VProcessor, step: int = 0, *, exact: bool = False) -> Iterator[MicroBatch]:
    """Start one rank's loader at a step, as training does: one sample a step, from the index that is there."""
    data = TrainingData([Source(open_dataset(str(folder)))], DataConfig(max_tokens=100_000))
    measured = data.measure(processor)
    plan = measured.plan(1, 0)
    one_each = assign([1.0], 1, 1)
    steps = RankSteps(plan, lambda samples: one_each, range(step, plan.steps(1)), 0)
    sources = [SampleSource(index, processor, exact) for index in data.indexes]
    return opened(micro_batches(steps, sources, PackedCollator(0, processor.image_token_id), 0))


def recipe_samples(folder: Path, processor: Phi3VProcessor) -> Iterator[RawSample]:
    """Read a dataset folder record by record, as the recipe's loader does."""
    index = RecordIndex(open_dataset(str(folder)), "train")
    for number in range(len(index)):
        record = index[number]
        yield RawSample(record, [(folder / "images" / name).read_bytes() for name in record.images()])


def recipes_tensors(raw: RawSample, processor: Phi3VProcessor) -> Tensors:
    """Prepare a sample by the published processor: Pillow, float32, every image padded to the most crops."""
    made = processor.image_processor([Image.open(io.BytesIO(data)) for data in raw.images])
    text = encode_record(raw.record, processor.tokenizer, made.pop("num_img_tokens"), processor.image_token_id)
    ids = {"input_ids": torch.tensor([text.input_ids]), "labels": torch.tensor([text.labels])}
    return {**made, **ids, "attention_mask": torch.ones_like(ids["input_ids"])}


def our_tensors(raw: RawSample, processor: Phi3VProcessor) -> Tensors:
    """Prepare a sample by our own functions, whatever it was read by."""
    images = [scaled_image(data, processor.image_processor) for data in raw.images]
    tokens = [image.grid.tokens for image in images]
    text = encode_record(raw.record, processor.tokenizer, tokens, processor.image_token_id)
    return PackedCollator(0, processor.image_token_id)([Sample(raw.record, text, images)])
