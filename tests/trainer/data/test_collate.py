from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.index import RecordIndex
from phi3v_data.schema.prompt import IGNORED
from phi3v_data.trainer.data.collate import PackedCollator, join_images
from phi3v_data.trainer.data.crops import cut_images
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
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits[0]
    return torch.nn.functional.cross_entropy(logits, labels[labels != IGNORED], reduction="none")


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
    assert torch.equal(batch["pixel_values"], cut_images([image for row in rows for image in row.images]))
    assert len(batch["image_sizes"]) == 4


def test_records_of_any_kind_have_the_losses_packed_that_they_have_alone(mixed_conversations: Dataset) -> None:
    rows, collate, model = samples(mixed_conversations), PackedCollator(0), tiny_model().eval()
    alone = torch.cat([losses(model, collate([row])) for row in rows])
    torch.testing.assert_close(losses(model, collate(rows)), alone, rtol=0, atol=1e-5)
    backwards = torch.cat([losses(model, collate([row])) for row in rows[::-1]])
    torch.testing.assert_close(losses(model, collate(rows[::-1])), backwards, rtol=0, atol=1e-5)


def test_a_batch_without_images_has_no_pixels(mixed_conversations: Dataset) -> None:
    text_only = [sample for sample in samples(mixed_conversations) if not sample.images]
    assert len(text_only) == 1
    assert join_images(text_only) == {}
    assert PackedCollator(0)(text_only).keys() == {"input_ids", "labels", "cu_seq_lens", "logits_to_keep"}


def test_a_batch_without_samples_is_one_masked_token() -> None:
    batch = PackedCollator(7)([])
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[7]],
        "labels": [[IGNORED]],
        "cu_seq_lens": [0, 1],
        "logits_to_keep": [],
    }


@pytest.mark.parametrize("divided_by", [None, 7])
def test_logits_at_what_is_learnt_give_the_loss_and_gradients_of_logits_everywhere(
    mixed_conversations: Dataset, divided_by: int | None
) -> None:
    batch, model = PackedCollator(0)(samples(mixed_conversations)), tiny_model().train()

    def learn(inputs: dict[str, Tensor]) -> tuple[Tensor, list[Tensor | None], int]:
        model.zero_grad()
        outputs = model(**inputs, num_items_in_batch=divided_by)
        outputs.loss.backward()
        return outputs.loss, [parameter.grad for parameter in model.parameters()], outputs.logits.shape[1]

    loss, found, kept = learn(batch)
    everywhere = {name: value for name, value in batch.items() if name != "logits_to_keep"}
    expected_loss, expected, tokens = learn(everywhere)
    assert kept == int((batch["labels"] != IGNORED).sum()) < tokens
    torch.testing.assert_close(loss, expected_loss)
    for gradient, wanted in zip(found, expected, strict=True):
        assert (gradient is None) == (wanted is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_a_batch_without_samples_has_no_loss_and_a_gradient_of_nothing_everywhere() -> None:
    model = tiny_model().train()
    loss = model(**PackedCollator(1)([]), num_items_in_batch=7).loss
    loss.backward()
    assert loss == 0
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert not parameter.grad.any()


def test_batches_come_through_worker_processes_unchanged(mixed_conversations: Dataset) -> None:
    source = SampleSource(RecordIndex(mixed_conversations, "train"), tiny_processor())
    loader = DataLoader(source, batch_size=2, num_workers=1, collate_fn=PackedCollator(0))
    here = DataLoader(source, batch_size=2, collate_fn=PackedCollator(0))
    for there, expected in zip(loader, here, strict=True):
        assert there.keys() == expected.keys()
        assert all(torch.equal(there[name], expected[name]) for name in expected)
