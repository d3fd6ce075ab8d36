from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.index import RecordIndex
from phi3v_data.schema.prompt import IGNORED
from phi3v_data.trainer.data.collate import PackedCollator, join_images
from phi3v_data.trainer.data.crops import cut_images
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.phi3v import Phi3VForCausalLM, loss
from phi3v_data.trainer.phi3v.padding import pad_rows
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor

IMAGE = 264  # the tiny tokenizer's <|image|>


def samples(dataset: Dataset) -> list[Sample]:
    source = SampleSource(RecordIndex(dataset, "train"), tiny_processor())
    return [source[number] for number in range(len(source))]


def losses(model: Phi3VForCausalLM, batch: dict[str, Any]) -> Tensor:
    """The loss of every supervised token, in order."""
    inputs = {name: value for name, value in batch.items() if name not in ("targets", "target_positions")}
    with torch.no_grad():
        logits = model(**inputs).logits[0, batch["target_positions"]]
    return torch.nn.functional.cross_entropy(logits, batch["targets"], reduction="none")


def test_ids_are_padded_on_the_side_asked_for() -> None:
    assert pad_rows([[1, 2, 3], [4]], 0, "right").tolist() == [[1, 2, 3], [4, 0, 0]]
    assert pad_rows([[1, 2, 3], [4]], 0, "left").tolist() == [[1, 2, 3], [0, 0, 4]]


def test_samples_are_laid_end_to_end_and_nothing_is_added(mixed_conversations: Dataset) -> None:
    rows = samples(mixed_conversations)
    batch = PackedCollator(0, IMAGE)(rows)
    ids = [token for row in rows for token in row.text.input_ids]
    labels = [label for row in rows for label in row.text.labels]
    assert batch["input_ids"].tolist() == [ids]
    assert batch["sample_lengths"] == tuple(len(row.text.input_ids) for row in rows)
    starts = batch["cu_seq_lens"]
    assert starts.dtype == torch.int32
    assert starts[0] == 0
    assert tuple(starts.diff().tolist()) == batch["sample_lengths"]
    assert batch["position_ids"].tolist() == [[place for length in batch["sample_lengths"] for place in range(length)]]
    supervised = [place for place, label in enumerate(labels) if label != IGNORED]
    assert (batch["target_positions"] + 1).tolist() == supervised
    assert batch["targets"].tolist() == [labels[place] for place in supervised]
    assert batch["image_token_indices"].tolist() == [place for place, token in enumerate(ids) if token == IMAGE]
    assert torch.equal(batch["pixel_values"], cut_images([image for row in rows for image in row.images]))
    assert batch["image_grids"] == tuple(image.grid for row in rows for image in row.images)


def test_records_of_any_kind_have_the_losses_packed_that_they_have_alone(mixed_conversations: Dataset) -> None:
    rows, collate, model = samples(mixed_conversations), PackedCollator(0, IMAGE), tiny_model().eval()
    alone = torch.cat([losses(model, collate([row])) for row in rows])
    torch.testing.assert_close(losses(model, collate(rows)), alone, rtol=0, atol=1e-5)
    backwards = torch.cat([losses(model, collate([row])) for row in rows[::-1]])
    torch.testing.assert_close(losses(model, collate(rows[::-1])), backwards, rtol=0, atol=1e-5)


def test_a_batch_without_images_has_no_pixels(mixed_conversations: Dataset) -> None:
    text_only = [sample for sample in samples(mixed_conversations) if not sample.images]
    assert len(text_only) == 1
    assert join_images(text_only) == {}
    batch = PackedCollator(0, IMAGE)(text_only)
    assert not batch.keys() & {"pixel_values", "image_grids"}
    assert not len(batch["image_token_indices"])


def test_a_batch_without_samples_is_one_unsupervised_token() -> None:
    batch = PackedCollator(7, IMAGE)([])
    assert batch["input_ids"].tolist() == [[7]]
    assert batch["sample_lengths"] == (1,)
    assert batch["targets"].dtype == batch["target_positions"].dtype == torch.int64
    assert not len(batch["targets"])
    assert not len(batch["target_positions"])


Result = tuple[Tensor, list[Tensor | None]]


def _learn(model: Phi3VForCausalLM, inputs: dict[str, Any]) -> Result:
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in model.parameters()]


def _assert_same(found: Result, expected: Result) -> None:
    torch.testing.assert_close(found[0], expected[0])
    for gradient, wanted in zip(found[1], expected[1], strict=True):
        assert (gradient is None) == (wanted is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_targets_give_the_summed_loss_and_gradients_of_labels_everywhere(mixed_conversations: Dataset) -> None:
    rows, model = samples(mixed_conversations), tiny_model().train()
    batch = PackedCollator(0, IMAGE)(rows)
    sparse = _learn(model, batch)
    labels = torch.tensor([[label for row in rows for label in row.text.labels]])
    everywhere = {name: value for name, value in batch.items() if name not in ("targets", "target_positions")}
    # The mean over one is the sum.
    _assert_same(sparse, _learn(model, {**everywhere, "labels": labels, "num_items_in_batch": 1}))
    divided = model(**batch, num_items_in_batch=7).loss
    torch.testing.assert_close(divided * 7, sparse[0])


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_the_head_in_chunks_changes_neither_loss_nor_gradients(
    mixed_conversations: Dataset, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, model = PackedCollator(0, IMAGE)(samples(mixed_conversations)), tiny_model().train()
    whole = _learn(model, batch)
    shown: list[int] = []
    model.lm_head.register_forward_hook(lambda module, args, logits: shown.append(len(logits)))
    monkeypatch.setattr(loss.summed_loss, "__defaults__", (chunk,))
    _assert_same(_learn(model, batch), whole)
    assert max(shown) <= chunk


def test_what_the_collator_computes_is_what_the_model_finds_by_itself(mixed_conversations: Dataset) -> None:
    rows, model = samples(mixed_conversations), tiny_model().eval()
    batch = PackedCollator(0, IMAGE)(rows)
    known = {name: batch[name] for name in ("input_ids", "pixel_values", "image_token_indices", "image_grids")}
    looked_for = {"input_ids": batch["input_ids"], **join_images(rows)}
    with torch.no_grad():
        assert torch.equal(model.model.embed(**known), model.model.embed(**looked_for))


def test_image_tokens_and_images_that_do_not_match_are_refused(mixed_conversations: Dataset) -> None:
    batch = PackedCollator(0, IMAGE)(samples(mixed_conversations))
    with pytest.raises(UsageError, match="image tokens, its images make"):
        tiny_model()(**{**batch, "image_token_indices": batch["image_token_indices"][1:]})


def test_a_batch_without_samples_has_no_loss_and_a_gradient_of_nothing_everywhere() -> None:
    model = tiny_model().train()
    loss = model(**PackedCollator(1, IMAGE)([]), num_items_in_batch=7).loss
    loss.backward()
    assert loss == 0
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert not parameter.grad.any()


def test_batches_come_through_worker_processes_unchanged(mixed_conversations: Dataset) -> None:
    source = SampleSource(RecordIndex(mixed_conversations, "train"), tiny_processor())
    loader = DataLoader(source, batch_size=2, num_workers=1, collate_fn=PackedCollator(0, IMAGE))
    here = DataLoader(source, batch_size=2, collate_fn=PackedCollator(0, IMAGE))
    for there, expected in zip(loader, here, strict=True):
        assert there.keys() == expected.keys()
        tensors = [name for name, value in expected.items() if isinstance(value, Tensor)]
        assert all(torch.equal(there[name], expected[name]) for name in tensors)
        assert all(there[name] == expected[name] for name in expected.keys() - tensors)
