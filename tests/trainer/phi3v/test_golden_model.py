"""The published model's own numbers, of tests/golden and of the full set: embeddings, logits, loss, gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_numbers import FullNumbers, GoldenNumbers
from torch import Tensor

_SINGLE = [
    "formula_2img",
    "img1_nc4_short_rope",
    "img1_nc16_long_rope",
    "img2_nc4",
    "img8_nc4",
    "batch2_row0_alone",
    "batch2_row1_alone",
    "lm_short_A",
    "lm_long_A",
    "lm_B_len64_short",
    "lm_B_len65_long",
    "lm_B_len100_long",
    "img1_nc4_B_long",
    "lm_N_norope_scaling_100",
]
_BATCHES = ["batch2_rightpad", "batch2_leftpad_posids"]
_WITH_GRADIENTS = ["img1_nc4_short_rope", "img2_nc4", "lm_short_A"]
_EAGER = ["img1_nc4_short_rope", "lm_short_A"]


def _at(values: Tensor, rows: Tensor) -> Tensor:
    return values[rows[:, 0].long(), rows[:, 1].long()]


@pytest.mark.parametrize("name", [*_SINGLE, *_BATCHES])
def test_words_and_images_embed_as_in_the_published_model(golden_numbers: GoldenNumbers, name: str) -> None:
    case = golden_numbers.case(name)
    inputs: dict[str, Any] = {
        key: case.inputs[key] for key in ("input_ids", "pixel_values", "image_sizes") if key in case.inputs
    }
    with torch.no_grad():
        embedded = golden_numbers.model(name).model.embed(**inputs)
    torch.testing.assert_close(
        _at(embedded, case.tensors["emb_rows"]), case.tensors["inputs_embeds"], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "attention"),
    # Eager attention over 6,099 tokens takes as long as all others together.
    [*((name, "sdpa") for name in _SINGLE), *((name, "eager") for name in _SINGLE if name != "img8_nc4")],
)
def test_logits_and_loss_are_those_of_the_published_model(
    golden_numbers: GoldenNumbers, name: str, attention: str
) -> None:
    case = golden_numbers.case(name)
    with torch.no_grad():
        outputs = golden_numbers.model(name, attention)(**case.inputs)
    torch.testing.assert_close(_at(outputs.logits, case.tensors["rows"]), case.tensors["logits"], rtol=0, atol=1e-5)
    if "loss" in case.facts:
        assert outputs.loss.item() == pytest.approx(case.facts["loss"], abs=1e-5)


@pytest.mark.parametrize("stated_positions", [True, False])
@pytest.mark.parametrize("name", _BATCHES)
def test_a_padded_batch_gives_each_row_what_it_gets_alone(
    golden_numbers: GoldenNumbers, name: str, stated_positions: bool
) -> None:
    case = golden_numbers.case(name)
    inputs = dict(case.inputs)
    if not stated_positions:
        inputs.pop("position_ids", None)
    with torch.no_grad():
        logits = golden_numbers.model(name)(**inputs).logits
    for row, alone in enumerate(("batch2_row0_alone", "batch2_row1_alone")):
        tensors = golden_numbers.case(alone).tensors
        positions = tensors["rows"][:, 1].long()
        first = int(inputs["attention_mask"][row].argmax())
        torch.testing.assert_close(logits[row, first + positions], tensors["logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", _BATCHES)
def test_the_long_row_of_a_batch_is_that_of_the_published_batch(golden_numbers: GoldenNumbers, name: str) -> None:
    # The short row is not: there the published model takes its neighbour's frequencies.
    case = golden_numbers.case(name)
    with torch.no_grad():
        logits = golden_numbers.model(name)(**case.inputs).logits
    rows = case.tensors["rows"]
    compared = (rows[:, 0] == 1) & _at(case.inputs["attention_mask"], rows).bool()
    assert int(compared.sum()) > 20
    torch.testing.assert_close(_at(logits, rows[compared]), case.tensors["logits"][compared], rtol=0, atol=1e-5)


# Eager attention over two images takes long, and its logits are compared above.
@pytest.mark.parametrize(
    ("name", "attention"), [*((name, "sdpa") for name in _WITH_GRADIENTS), *((name, "eager") for name in _EAGER)]
)
def test_gradients_are_those_of_the_published_model(golden_numbers: GoldenNumbers, name: str, attention: str) -> None:
    case = golden_numbers.case(name)
    model = golden_numbers.model(name, attention)
    model(**case.inputs).loss.backward()
    expected = case.facts["grad_norms"]
    found = {key: None if value.grad is None else value.grad.norm().item() for key, value in model.named_parameters()}
    assert found.keys() == expected.keys()
    assert {key for key, norm in found.items() if norm is None} == {
        key for key, norm in expected.items() if norm is None
    }
    # A key's bias shifts every score of a query alike: its gradient is rounding noise around zero.
    compared = [key for key, norm in expected.items() if norm is not None and not key.endswith("k_proj.bias")]
    assert {key: found[key] for key in compared} == pytest.approx({key: expected[key] for key in compared}, rel=1e-4)


@pytest.mark.real_data
def test_the_tower_and_the_projector_alone_are_those_of_the_published_model(full_numbers: FullNumbers) -> None:
    embedding = full_numbers.model().model.vision_embed_tokens
    pixels = full_numbers.made(0, 4)
    with torch.no_grad():
        features = embedding.img_processor(pixels)
        grids = embedding.grids(pixels[None], torch.tensor([[672, 672]]))
        projected = embedding(pixels[None], grids)
    torch.testing.assert_close(
        features[:, ::23], full_numbers.tensor("vision.img0_nc4.clip_features_sub"), rtol=0, atol=1e-5
    )
    assert projected.shape == (757, 64)
    torch.testing.assert_close(projected[::3], full_numbers.tensor("vision.img0_nc4.projected"), rtol=0, atol=1e-5)
