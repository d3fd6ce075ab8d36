from __future__ import annotations

import torch

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.data.collate import TrainingCollator, stack_pictures
from phi3v_data.trainer.data.index import RecordIndex
from phi3v_data.trainer.data.prompt import IGNORED
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.phi3v.padding import pad_rows
from phi3v_data.trainer.phi3v.tiny import tiny_processor


def samples(dataset: Dataset) -> list[Sample]:
    source = SampleSource(RecordIndex(dataset, "train"), tiny_processor())
    return [source[number] for number in range(len(source))]


def test_ids_are_padded_on_the_side_asked_for() -> None:
    assert pad_rows([[1, 2, 3], [4]], 0, "right").tolist() == [[1, 2, 3], [4, 0, 0]]
    assert pad_rows([[1, 2, 3], [4]], 0, "left").tolist() == [[1, 2, 3], [0, 0, 4]]


def test_a_trained_end_of_text_is_attended_though_padding_has_the_same_id(mixed_conversations: Dataset) -> None:
    rows = samples(mixed_conversations)
    pad = tiny_processor().tokenizer.pad_token_id
    batch = TrainingCollator(pad)(rows)
    for row, sample in enumerate(rows):
        length = len(sample.text.input_ids)
        assert batch["input_ids"][row, length - 1] == pad  # the end of text that is trained on
        assert batch["attention_mask"][row].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
        assert (batch["labels"][row, length:] == IGNORED).all()


def test_pictures_keep_their_order_and_fewer_crops_are_filled_with_zeros() -> None:
    def sample(crops: int, value: float) -> Sample:
        pixels = torch.full((1, crops, 3, 2, 2), value)
        return Sample(None, None, pixels, torch.tensor([[2, 2 * (crops - 1)]]))  # type: ignore[arg-type]  # not looked at

    stacked = stack_pictures([sample(3, 1.0), sample(2, 2.0)])
    assert stacked["pixel_values"].shape == (2, 3, 3, 2, 2)
    assert stacked["pixel_values"].amax(dim=(2, 3, 4)).tolist() == [[1, 1, 1], [2, 2, 0]]
    assert stacked["image_sizes"].tolist() == [[2, 4], [2, 2]]


def test_a_batch_without_pictures_has_no_pixels(mixed_conversations: Dataset) -> None:
    text_only = [sample for sample in samples(mixed_conversations) if sample.pixel_values is None]
    assert "pixel_values" not in TrainingCollator(0)(text_only)
