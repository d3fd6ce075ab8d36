"""What the model promises beside the published numbers: no neighbour, no padding, no frozen part shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Literal

import pytest
import torch
from PIL import Image
from torch import Tensor

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import Phi3VForCausalLM, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_model

_ONE = "<|user|>\n<|image_1|>\nWhat?<|end|>\n<|assistant|>\n"
_TWO = "<|user|>\n<|image_1|>\n<|image_2|>\nWhich of them is it?<|end|>\n<|assistant|>\n"
_NONE = "<|user|>\nHello<|end|>\n<|assistant|>\n"
_BATCH = [_TWO, _NONE, _ONE]


@pytest.fixture
def images(sample_images: list[Image.Image]) -> list[list[Image.Image]]:
    return [sample_images[:2], [], sample_images[2:]]


def _labelled(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**inputs, "labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_row_of_a_batch_gets_what_it_gets_alone(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    images: list[list[Image.Image]],
    side: Literal["left", "right"],
    attention: str,
) -> None:
    model.set_attn_implementation(attention)
    batch = processor(_BATCH, images, padding_side=side)
    with torch.no_grad():
        together = model(**batch).logits
        # Not even a padded row may hold a NaN: its gradient would spread it.
        assert together.isfinite().all()
        for row, (text, own) in enumerate(zip(_BATCH, images, strict=True)):
            alone = model(**processor(text, own)).logits[0]
            torch.testing.assert_close(together[row, batch["attention_mask"][row].bool()], alone, rtol=0, atol=1e-5)


def test_a_second_turn_goes_on_from_the_cache_with_images_of_its_own(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, sample_images: list[Image.Image]
) -> None:
    turns = [processor(_ONE, image) for image in sample_images[:2]]
    whole = {name: torch.cat([turn[name] for turn in turns], dim=1) for name in ("input_ids", "attention_mask")}
    shown = {name: torch.cat([turn[name] for turn in turns]) for name in ("pixel_values", "image_sizes")}
    with torch.no_grad():
        expected = model(**whole, **shown).logits
        first = model(**turns[0], use_cache=True)
        rest = {**turns[1], "attention_mask": whole["attention_mask"]}
        second = model(**rest, past_key_values=first.past_key_values).logits
    torch.testing.assert_close(torch.cat([first.logits, second], dim=1), expected, rtol=0, atol=1e-5)


def test_half_precision_takes_the_same_pixels(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    inputs = processor(_BATCH, images)
    with torch.no_grad():
        expected = model(**inputs).logits
        half = torch.nn.Module.to(model, torch.bfloat16)(**inputs).logits
    assert half.dtype == torch.bfloat16
    assert (half - expected).std() < 0.05 * expected.std()


def test_autocast_trains_every_part(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    inputs = _labelled(processor(_BATCH, images))
    expected = model(**inputs).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**inputs).loss
    assert loss.item() == pytest.approx(expected.item(), rel=0.02)
    loss.backward()
    for name, value in model.named_parameters():
        assert (value.grad is None) == (not value.requires_grad), name
        assert value.grad is None or value.grad.isfinite().all(), name


def test_negative_ids_mark_images_like_the_image_token(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    with torch.no_grad():
        ours = model(**processor(_BATCH, images)).logits
        published = model(**processor(_BATCH, images, published_image_ids=True)).logits
    assert torch.equal(ours, published)


def test_padding_crops_are_never_looked_at(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, sample_images: list[Image.Image]
) -> None:
    inputs = processor(_ONE, sample_images[0])
    padded = torch.nn.functional.pad(inputs["pixel_values"], (0,) * 7 + (3,), value=float("nan"))
    encoded: list[int] = []
    tower = model.model.vision_embed_tokens.img_processor
    tower.register_forward_hook(lambda module, args, output: encoded.append(len(args[0])))
    with torch.no_grad():
        expected = model(**inputs).logits
        assert torch.equal(model(**{**inputs, "pixel_values": padded}).logits, expected)
    assert encoded == [2, 2]


def test_all_crops_of_a_batch_go_through_the_tower_in_one_call(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    encoded: list[int] = []
    tower = model.model.vision_embed_tokens.img_processor
    tower.register_forward_hook(lambda module, args, output: encoded.append(len(args[0])))
    model(**processor(_BATCH, images))
    assert encoded == [6]


def test_what_never_reaches_the_output_is_neither_run_nor_trained(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, sample_images: list[Image.Image]
) -> None:
    inputs = _labelled(processor(_ONE, sample_images[0]))
    expected = model(**inputs).loss
    unused = model.model.vision_embed_tokens.img_processor.unused_modules()
    for module in unused:
        for value in module.parameters():
            value.data.fill_(float("nan"))
    model.requires_grad_(True)
    model.freeze_unused()
    loss = model(**inputs).loss
    assert torch.equal(loss, expected)
    loss.backward()
    without = {name for name, value in model.named_parameters() if value.grad is None}
    prefix = "model.vision_embed_tokens.img_processor.vision_model."
    assert without == {
        name
        for name, _ in model.named_parameters()
        if name.startswith((f"{prefix}encoder.layers.2.", f"{prefix}post_layernorm."))
    }
    assert not any(value.requires_grad for module in unused for value in module.parameters())


def test_gradient_checkpointing_changes_no_gradient(processor: Phi3VProcessor, images: list[list[Image.Image]]) -> None:
    inputs = _labelled(processor(_BATCH, images))

    def gradients(checkpointing: bool) -> tuple[dict[str, Tensor | None], int]:
        model = tiny_model().train()
        if checkpointing:
            model.checkpoint_activations()
        runs: list[object] = []
        for layer in (
            model.model.layers[0],
            model.model.vision_embed_tokens.img_processor.vision_model.encoder.layers[0],
        ):
            layer.mlp.register_forward_pre_hook(lambda *_: runs.append(None))
        model(**inputs).loss.backward()
        return {name: value.grad for name, value in model.named_parameters()}, len(runs)

    plain, runs = gradients(checkpointing=False)
    checkpointed, runs_again = gradients(checkpointing=True)
    # Run again in the backward pass: one layer of the decoder and one of the tower, both of them.
    assert (runs, runs_again) == (2, 4)
    for name, gradient in plain.items():
        other = checkpointed[name]
        assert (gradient is None) == (other is None)
        if gradient is not None and other is not None:
            assert torch.equal(gradient, other), name


def test_the_loss_is_divided_by_the_number_of_items_that_is_given(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    inputs = _labelled(processor(_BATCH, images, padding_side="right"))
    learned = int((inputs["labels"][:, 1:] != -100).sum())
    mean = model(**inputs).loss
    torch.testing.assert_close(model(**inputs, num_items_in_batch=4 * learned).loss * 4, mean)


def test_the_loss_is_that_of_the_next_token(model: Phi3VForCausalLM, processor: Phi3VProcessor) -> None:
    inputs = _labelled(processor(_NONE))
    outputs = model(**inputs)
    log_probabilities = outputs.logits[0, :-1].log_softmax(dim=-1)
    following = inputs["input_ids"][0, 1:]
    expected = -log_probabilities.gather(1, following[:, None]).mean()
    torch.testing.assert_close(outputs.loss, expected)
    assert outputs.past_key_values is None


@pytest.mark.parametrize("kept", [1, 3, torch.tensor([0, 2])])
def test_only_the_logits_asked_for_are_computed(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, kept: int | Tensor
) -> None:
    inputs = processor(_NONE)
    positions = slice(-kept, None) if isinstance(kept, int) else kept
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs, logits_to_keep=kept).logits, model(**inputs).logits[:, positions])


def test_embeddings_may_be_given_in_place_of_ids(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, sample_images: list[Image.Image]
) -> None:
    inputs = processor(_ONE, sample_images[0])
    with torch.no_grad():
        embedded = model.model.embed(inputs["input_ids"], inputs["pixel_values"], inputs["image_sizes"])
        assert torch.equal(model(inputs_embeds=embedded).logits, model(**inputs).logits)


def test_ids_and_embeddings_together_or_neither_are_refused(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, sample_images: list[Image.Image]
) -> None:
    inputs = processor(_ONE, sample_images[0])
    embedded = model.model.embed_tokens(torch.tensor([[1, 2]]))
    with pytest.raises(UsageError, match="exactly one"):
        model()
    with pytest.raises(UsageError, match="exactly one"):
        model(input_ids=torch.tensor([[1, 2]]), inputs_embeds=embedded)
    with pytest.raises(UsageError, match="without input_ids nothing says where images go"):
        model(inputs_embeds=embedded, pixel_values=inputs["pixel_values"], image_sizes=inputs["image_sizes"])


def _without(name: str, inputs: MutableMapping[str, Tensor]) -> Mapping[str, Tensor]:
    del inputs[name]
    return inputs


def _with_one_image_token_less(inputs: MutableMapping[str, Tensor]) -> Mapping[str, Tensor]:
    first = int((inputs["input_ids"][0] == 264).nonzero()[0])
    inputs["input_ids"][0, first] = 5
    return inputs


def _without_image_tokens(inputs: MutableMapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {**inputs, "input_ids": inputs["input_ids"].masked_fill(inputs["input_ids"] == 264, 5)}


def _without_the_last_image(inputs: MutableMapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {**inputs, **{name: inputs[name][:-1] for name in ("pixel_values", "image_sizes")}}


def _with_canvas(size: list[int]) -> Callable[[MutableMapping[str, Tensor]], Mapping[str, Tensor]]:
    def change(inputs: MutableMapping[str, Tensor]) -> Mapping[str, Tensor]:
        inputs["image_sizes"][0] = torch.tensor(size)
        return inputs

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda inputs: _without("pixel_values", inputs), "75 image tokens and no pixel_values"),
        (lambda inputs: _without("image_sizes", inputs), "pixel_values without image_sizes"),
        (_with_one_image_token_less, "row 0 has 49 image tokens, its images make 50"),
        (_with_canvas([84, 100]), "a canvas of 100x84 pixels"),
        (_with_canvas([84, 168]), "a canvas of 168x84 pixels; expected whole crops of 84 pixels, from 1 to 1"),
        (_with_canvas([0, 84]), "a canvas of 84x0 pixels"),
        (lambda inputs: {**inputs, "image_sizes": inputs["image_sizes"][:2]}, r"image_sizes of shape \[2, 2\]"),
        (lambda inputs: {**inputs, "pixel_values": inputs["pixel_values"][:, :, :, :42]}, "pixel_values of shape"),
        (_without_the_last_image, "row 2 has 25 image tokens, its images make 0"),
        (_without_image_tokens, "3 images, 3 of them without image tokens"),
    ],
)
def test_images_that_do_not_fit_the_text_or_the_model_are_refused(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    images: list[list[Image.Image]],
    spoil: Callable[[MutableMapping[str, Tensor]], Mapping[str, Tensor]],
    message: str,
) -> None:
    inputs = spoil(processor(_BATCH, images))
    with pytest.raises(UsageError, match=message):
        model(**inputs)
