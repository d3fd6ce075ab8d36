from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoImageProcessor

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import Phi3VImageProcessor
from phi3v_data.trainer.phi3v.image_processing import canvas_of, normalise

_MODES = ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"]


@pytest.fixture(scope="module")
def images(sample_images: list[Image.Image]) -> list[Image.Image]:
    return sample_images


@pytest.mark.parametrize("mode", _MODES)
def test_an_image_of_any_mode_is_what_its_rgb_form_is(images: list[Image.Image], mode: str) -> None:
    image = Image.new("I;16", (40, 30), 300) if mode == "I;16" else images[0].convert(mode)
    processor = Phi3VImageProcessor(4)
    assert torch.equal(processor(image)["pixel_values"], processor(image.convert("RGB"))["pixel_values"])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_array_is_what_its_image_is(images: list[Image.Image], mode: str) -> None:
    image = images[0].convert(mode)
    processor = Phi3VImageProcessor(4)
    assert torch.equal(processor(np.array(image))["pixel_values"], processor(image)["pixel_values"])


def test_a_portrait_is_its_landscape_turned(images: list[Image.Image]) -> None:
    turn = Image.Transpose.TRANSPOSE
    landscape = images[0]
    processor = Phi3VImageProcessor(4)
    portrait = landscape.transpose(turn)
    upright = canvas_of(portrait, processor.crop_grid(*portrait.size))
    lying = canvas_of(landscape, processor.crop_grid(*landscape.size))
    assert upright.tobytes() == lying.transpose(turn).tobytes()


def test_a_line_of_pixels_has_a_canvas() -> None:
    made = Phi3VImageProcessor(4)(Image.new("RGB", (5000, 1)))
    assert made["image_sizes"].tolist() == [[336, 1344]]


def test_crops_past_an_images_own_are_empty(images: list[Image.Image]) -> None:
    made = Phi3VImageProcessor(5)([images[0], Image.new("RGB", (500, 100))])
    assert made["pixel_values"].shape == (2, 6, 3, 336, 336)
    counts = [1 + height * width // 336**2 for height, width in made["image_sizes"].tolist()]
    assert counts == [5, 6]
    assert not made["pixel_values"][0, 5:].any()
    assert made["pixel_values"][0, :5].flatten(1).any(dim=1).all()


def test_settings_are_read_back_as_saved(tmp_path: Path) -> None:
    saved = Phi3VImageProcessor(num_crops=3, crop_size=84, num_img_tokens=9, image_mean=(0.1, 0.2, 0.3))
    saved.save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, Phi3VImageProcessor)
    assert loaded.to_dict() == saved.to_dict()
    assert loaded.geometry == saved.geometry


def test_the_number_of_crops_can_be_chosen_at_loading(tmp_path: Path) -> None:
    Phi3VImageProcessor(num_crops=4).save_pretrained(tmp_path)
    assert AutoImageProcessor.from_pretrained(tmp_path, num_crops=16).num_crops == 16


@pytest.mark.parametrize("settings", [{"num_crops": 0}, {"num_img_tokens": 10}, {"num_img_tokens": 0}])
def test_settings_no_image_can_be_cut_by_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected at least 1, a square number, and true"):
        Phi3VImageProcessor(**settings)


def test_no_crops_are_refused(images: list[Image.Image]) -> None:
    with pytest.raises(UsageError, match="num_crops is 0"):
        Phi3VImageProcessor(4)(images[0], num_crops=0)


@pytest.mark.parametrize("given", ["image.jpg", np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), None])
def test_what_is_no_image_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match="given as an image"):
        Phi3VImageProcessor(4)([given])  # type: ignore[arg-type]  # what its type forbids


def test_an_empty_list_of_images_is_refused() -> None:
    with pytest.raises(UsageError, match="no images to process"):
        Phi3VImageProcessor(4)([])


def test_other_tensors_than_torchs_are_refused(images: list[Image.Image]) -> None:
    with pytest.raises(UsageError, match="'np'"):
        Phi3VImageProcessor(4)(images[0], return_tensors="np")


def test_a_forward_pass_on_fake_tensors_leaves_nothing_behind_for_real_ones() -> None:
    pixels = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4)
    # As the memory estimate runs the model, before the run that it is for.
    with FakeTensorMode() as mode:
        normalise(mode.from_tensor(pixels))
    assert type(normalise(pixels)) is torch.Tensor
    assert normalise(pixels).isfinite().all()
