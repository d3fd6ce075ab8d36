from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.data.collate import PackedCollator, join_pictures
from phi3v_data.trainer.data.crops import cut_pictures
from phi3v_data.trainer.data.index import RecordIndex
from phi3v_data.trainer.data.prompt import IGNORED
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.padding import pad_rows
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor


def samples(dataset: Dataset) -> list[Sample]:
    source = SampleSource(RecordIndex(dataset, "train"), tiny_processor())
    return [source[number] for number in range(len(source))]


def losses(model: Phi3VForCausalLM, batch: dict[str, Tensor]) -> Tensor:
    """The loss of every supervised token, in order."""
    labels = batch["labels"][0, 1:]
    with torch.no_grad():
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")[labels != IGNORED]


def test_ids_are_padded_on_the_side_asked_for() -> None:
    assert pad_rows([[1, 2, 3], [4]], 0, "right").tolist() == [[1, 2, 3], [4, 0, 0]]
    assert pad_rows([[1, 2, 3], [4]], 0, "left").tolist() == [[1, 2, 3], [0, 0, 4]]


def test_samples_are_laid_end_to_end_and_nothing_is_added(mixed_conversations: Dataset) -> None:
    rows = samples(mixed_conversations)
    batch = PackedCollator(0)(rows)
    assert batch["input_ids"].tolist() == [[token for row in rows for token in row.text.input_ids]]
    assert batch["labels"].tolist() == [[token for row in rows for token in row.text.labels]]
    starts = batch["cu_seq_lens"]
    assert starts.dtype == torch.int32
    assert starts[0] == 0
    assert starts.diff().tolist() == [len(row.text.input_ids) for row in rows]
    assert torch.equal(batch["pixel_values"], cut_pictures([picture for row in rows for picture in row.pictures]))
    assert len(batch["image_sizes"]) == 4


def test_records_of_any_kind_have_the_losses_packed_that_they_have_alone(mixed_conversations: Dataset) -> None:
    rows, collate, model = samples(mixed_conversations), PackedCollator(0), tiny_model().eval()
    alone = torch.cat([losses(model, collate([row])) for row in rows])
    torch.testing.assert_close(losses(model, collate(rows)), alone, rtol=0, atol=1e-5)
    backwards = torch.cat([losses(model, collate([row])) for row in rows[::-1]])
    torch.testing.assert_close(losses(model, collate(rows[::-1])), backwards, rtol=0, atol=1e-5)


def test_a_batch_without_pictures_has_no_pixels(mixed_conversations: Dataset) -> None:
    text_only = [sample for sample in samples(mixed_conversations) if not sample.pictures]
    assert len(text_only) == 1
    assert join_pictures(text_only) == {}
    assert PackedCollator(0)(text_only).keys() == {"input_ids", "labels", "cu_seq_lens"}


def test_a_batch_without_samples_is_one_masked_token() -> None:
    batch = PackedCollator(7)([])
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[7]],
        "labels": [[IGNORED]],
        "cu_seq_lens": [0, 1],
    }


def test_batches_come_through_worker_processes_unchanged(mixed_conversations: Dataset) -> None:
    source = SampleSource(RecordIndex(mixed_conversations, "train"), tiny_processor())
    loader = DataLoader(source, batch_size=2, num_workers=1, collate_fn=PackedCollator(0))
    here = DataLoader(source, batch_size=2, collate_fn=PackedCollator(0))
    for there, expected in zip(loader, here, strict=True):
        assert there.keys() == expected.keys()
        assert all(torch.equal(there[name], expected[name]) for name in expected)
