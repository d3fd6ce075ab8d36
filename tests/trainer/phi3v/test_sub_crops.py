"""Images as uint8 sub-crops give what the published float crops give; no image at all still runs the tower."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from generation import generate
from golden_numbers import GoldenNumbers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.vision_tokens import CropGrid
from phi3v_data.trainer.phi3v import Phi3VForCausalLM, Phi3VImageProcessor, Phi3VProcessor
from phi3v_data.trainer.phi3v.image_processing import canvas_of
from phi3v_data.trainer.phi3v.sub_crops import crops_of_parts
from phi3v_data.trainer.phi3v.tiny import tiny_tokenizer

_TEXTS = [
    "<|user|>\n<|image_1|>\n<|image_2|>\nWhich of them is it?<|end|>\n<|assistant|>\n",
    "<|user|>\nHello<|end|>\n<|assistant|>\n",
    "<|user|>\n<|image_1|>\nWhat?<|end|>\n<|assistant|>\n",
]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def parts_of(image: Image.Image, processor: Phi3VImageProcessor) -> tuple[Tensor, CropGrid]:
    grid, side = processor.crop_grid(*image.size), processor.crop_size
    canvas = torch.from_numpy(np.array(canvas_of(image, grid))).permute(2, 0, 1)
    cut = canvas.view(3, grid.rows, side, grid.columns, side).permute(1, 3, 0, 2, 4)
    return cut.flatten(0, 1), grid


def in_parts(processor: Phi3VProcessor, texts: list[str], images: list[list[Image.Image]]) -> dict[str, Tensor]:
    inputs = dict(processor(texts, images))
    made = [parts_of(image, processor.image_processor)[0] for of_prompt in images for image in of_prompt]
    return {**inputs, "pixel_values": torch.cat(made)}


@given(
    sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=4),
    num_crops=st.integers(1, 6),
    channels_last=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_crops_made_of_parts_are_the_published_ones_bit_for_bit(
    sizes: list[tuple[int, int]], num_crops: int, channels_last: bool
) -> None:
    processor = Phi3VImageProcessor(num_crops, crop_size=28, num_img_tokens=1)
    images = [noise(*size, seed) for seed, size in enumerate(sizes)]
    published = processor(images)["pixel_values"]
    parts, grids = zip(*(parts_of(image, processor) for image in images), strict=True)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    made = crops_of_parts(torch.cat(parts).contiguous(memory_format=memory), grids)
    counts = [1 + grid.rows * grid.columns for grid in grids]
    expected = [own[:count] for own, count in zip(published, counts, strict=True)]
    # Of an image of one sub-crop the global crop is the same once more, to the bit.
    assert all(torch.equal(own[0], own[1]) for own in expected if len(own) == 2)
    assert torch.equal(made, torch.cat([own[1:] if len(own) == 2 else own for own in expected]))


def test_crops_of_the_golden_images_are_the_published_ones_bit_for_bit(golden_numbers: GoldenNumbers) -> None:
    processor = Phi3VImageProcessor(4)
    images = [golden_numbers.image(number) for number in (0, 1, 3)]
    published = processor(images)["pixel_values"]
    parts, grids = zip(*(parts_of(image, processor) for image in images), strict=True)
    expected = [own[: 1 + len(cut)] for own, cut in zip(published, parts, strict=True)]
    assert torch.equal(crops_of_parts(torch.cat(parts), grids), torch.cat(expected))


@pytest.fixture(scope="module")
def processor() -> Phi3VProcessor:
    """Like the tiny model's, with more crops."""
    return Phi3VProcessor(Phi3VImageProcessor(6, crop_size=84, num_img_tokens=9), tiny_tokenizer())


@pytest.fixture
def images(sample_images: list[Image.Image]) -> list[list[Image.Image]]:
    return [sample_images[:2], [], [noise(400, 100)]]


def test_the_model_takes_parts_in_one_call_of_the_tower(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    encoded: list[int] = []
    tower = model.model.vision_embed_tokens.img_processor
    tower.register_forward_hook(lambda module, args, output: encoded.append(len(args[0])))
    batch = in_parts(processor, _TEXTS, images)
    with torch.no_grad():
        found, expected = model(**batch).logits, model(**processor(_TEXTS, images)).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    sub_crops = len(batch["pixel_values"])
    assert encoded == [sub_crops + 3, sub_crops + 3]


def test_an_image_of_one_crop_is_encoded_once_with_the_gradients_of_twice(
    model: Phi3VForCausalLM, images: list[list[Image.Image]]
) -> None:
    processor = Phi3VProcessor(Phi3VImageProcessor(1, crop_size=84, num_img_tokens=9), tiny_tokenizer())
    encoded: list[int] = []
    tower = model.model.vision_embed_tokens.img_processor
    tower.register_forward_hook(lambda module, args, output: encoded.append(len(args[0])))

    def learn(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        model.zero_grad()
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
        return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}

    once, twice = learn(in_parts(processor, _TEXTS, images)), learn(dict(processor(_TEXTS, images)))
    assert encoded == [3, 6]
    for name, gradient in twice.items():
        torch.testing.assert_close(once[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_answers_and_beams_are_the_same_from_parts(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    published, parts = processor(_TEXTS, images), in_parts(processor, _TEXTS, images)
    for options in ({"do_sample": False}, {"num_beams": 2, "num_return_sequences": 2}):
        expected, found = (generate(model, batch, **options, max_new_tokens=4) for batch in (published, parts))
        assert torch.equal(found, expected)


def test_a_batch_without_images_runs_the_tower_in_training_and_is_none_the_wiser(
    model: Phi3VForCausalLM, processor: Phi3VProcessor
) -> None:
    inputs = processor(_TEXTS[1])
    encoded: list[int] = []
    tower = model.model.vision_embed_tokens.img_processor
    tower.register_forward_hook(lambda module, args, output: encoded.append(len(args[0])))
    with torch.no_grad():
        expected = model(**inputs).logits
    assert encoded == []  # not where nothing is trained
    outputs = model.train()(**inputs, labels=inputs["input_ids"])
    assert torch.equal(outputs.logits, expected)
    outputs.loss.backward()
    assert encoded == [1]  # the blank crop, which is its own global one
    for name, value in model.named_parameters():
        if "vision_embed_tokens" in name and value.requires_grad:
            assert value.grad is not None, name
            assert not value.grad.any(), name


def test_half_precision_and_recomputed_activations_keep_the_blank_image_at_nothing(
    model: Phi3VForCausalLM, processor: Phi3VProcessor
) -> None:
    inputs = processor(_TEXTS[1])
    half = torch.nn.Module.to(model, torch.bfloat16)
    with torch.no_grad():
        expected = half(**inputs).logits
    half.checkpoint_activations()
    outputs = half.train()(**inputs, labels=inputs["input_ids"])
    assert torch.equal(outputs.logits, expected)
    outputs.loss.backward()
    projector = half.model.vision_embed_tokens.img_projection[0].weight
    assert isinstance(projector, torch.Tensor)
    assert projector.grad is not None
    assert not projector.grad.any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda pixels: pixels[1:], "13 sub-crops in pixel_values, 14 by image_sizes"),
        (lambda pixels: pixels.float(), r"pixel_values of shape \[14, 3, 84, 84\], torch.float32"),
        (lambda pixels: pixels[:, :, :42], r"or uint8 \[sub-crops, 3, 84, 84\]"),
        (lambda pixels: pixels[:3], "from 1 to 3 of them"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    images: list[list[Image.Image]],
    spoil: Callable[[Tensor], Tensor],
    message: str,
) -> None:
    batch = in_parts(processor, _TEXTS, images)
    with pytest.raises(UsageError, match=message):
        model(**{**batch, "pixel_values": spoil(batch["pixel_values"])})
