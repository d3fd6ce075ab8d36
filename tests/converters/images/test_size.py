from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from made_images import Maker
from PIL import Image

from phi3v_data.converters.images import ImageFormat, ImageSettings
from phi3v_data.converters.images.store import bounded_size, fitted_size, stored_image, stored_pixels
from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.phi3v.image_processing import canvas_of

_sides = st.integers(1, 5000)
_bounds = st.none() | st.integers(1, 3000)


@given(_sides, _sides, st.none() | st.integers(1, 10**7), _bounds)
def test_a_bounded_size_is_within_its_bounds_and_keeps_the_shape(
    width: int, height: int, max_pixels: int | None, max_side: int | None
) -> None:
    bounds = ImageSettings(max_pixels=max_pixels, max_side=max_side)
    new_width, new_height = bounded_size((width, height), bounds)
    assert 1 <= new_width <= width
    assert 1 <= new_height <= height
    assert max_side is None or max(new_width, new_height) <= max_side
    if min(new_width, new_height) > 1:  # a line of pixels cannot get any thinner
        assert max_pixels is None or new_width * new_height <= max_pixels
        scale = max(new_width / width, new_height / height)
        assert max(abs(new_width - width * scale), abs(new_height - height * scale)) <= 1


@given(_sides, _sides)
def test_what_is_within_its_bounds_stays_as_large_as_it_is(width: int, height: int) -> None:
    bounds = ImageSettings(max_pixels=width * height, max_side=max(width, height))
    assert bounded_size((width, height), bounds) == (width, height)


@pytest.mark.parametrize(
    ("setting", "size"),
    [({"max_side": 100}, (100, 75)), ({"max_pixels": 30_000}, (200, 150)), ({"max_side": 400}, None)],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_image_beyond_its_bounds_is_scaled_down_and_any_other_keeps_its_bytes(
    maker: Maker, setting: dict[str, int], size: tuple[int, int] | None, kind: str
) -> None:
    data = maker.file(maker.image(300, 400), kind)
    stored = stored_image(data, ImageSettings(**setting))  # type: ignore[arg-type]  # chosen above
    if size is None:
        assert stored.data == data
    else:
        assert (maker.opened(stored.data).size, maker.opened(stored.data).format) == (size, kind)


def test_scaling_down_is_antialiased(maker: Maker) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    scaled = np.asarray(maker.opened(stored_pixels(stripes, ".png", ImageSettings(max_side=16)).data))
    # Without a filter it would be all black or all white.
    assert np.abs(scaled[:, 2:-2].astype(int) - 127).max() < 30


def test_the_bounds_are_those_of_the_turned_image(maker: Maker) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    data = maker.file(maker.image(300, 400), "JPEG", exif=turned)
    assert maker.opened(stored_image(data, ImageSettings(max_side=200)).data).size == (150, 200)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 6), st.sampled_from(["PNG", "JPEG", "WEBP"]))
@example(900, 337, 1, "PNG")
@example(337, 900, 1, "JPEG")
@example(700, 700, 4, "PNG")
@example(673, 672, 4, "PNG")
def test_cutting_the_fitted_image_gives_the_pixels_that_cutting_the_whole_one_gives(
    maker: Maker, width: int, height: int, crops: int, kind: str
) -> None:
    data = maker.file(maker.image(height, width), kind)
    whole = maker.opened(stored_image(data, ImageSettings(image_format="png")).data)
    stored = maker.opened(stored_image(data, ImageSettings(fit_crops=crops)).data)
    if kind == "WEBP" and stored.format == "JPEG":
        # It was not fitted, and so has lost what any other such image loses.
        assert stored.size == whole.size
        return
    cut = canvas_of(stored, crop_grid(*stored.size, crops))
    assert cut.size == crop_grid(width, height, crops).canvas_size
    assert np.array_equal(np.asarray(cut), np.asarray(canvas_of(whole, crop_grid(width, height, crops))))


@given(_sides, _sides, st.integers(1, 20))
def test_a_fitted_size_is_smaller_and_fits_itself(width: int, height: int, crops: int) -> None:
    fitted = fitted_size((width, height), crops)
    assume(fitted is not None)
    assert fitted is not None
    assert math.prod(fitted) < width * height
    grid = crop_grid(width, height, crops)
    assert fitted == (grid.content_width, grid.content_height)
    again = crop_grid(*fitted, crops)
    assert (again.content_width, again.content_height, again.canvas_size) == (*fitted, grid.canvas_size)
    assert fitted_size(fitted, crops) is None


def test_a_size_that_would_be_cut_in_another_way_is_left_as_it_is() -> None:
    grid = crop_grid(1601, 2270, 4)
    content = grid.content_width, grid.content_height
    again = crop_grid(*content, 4)
    assert (again.content_width, again.content_height) != content, "the arithmetic does not return its own result"
    assert fitted_size((1601, 2270), 4) is None


def test_a_image_that_fitting_would_enlarge_keeps_its_bytes(maker: Maker) -> None:
    data = maker.file(maker.image(100, 150), "JPEG")
    assert stored_image(data, ImageSettings(fit_crops=4)).data == data


@pytest.mark.parametrize(("chosen", "kind"), [("keep", "PNG"), ("png", "PNG"), ("jpeg", "JPEG")])
def test_a_fitted_image_is_stored_without_loss_unless_jpeg_is_asked_for(
    maker: Maker, chosen: ImageFormat, kind: str
) -> None:
    data = maker.file(maker.image(800, 800), "JPEG")
    stored = stored_image(data, ImageSettings(fit_crops=1, image_format=chosen))
    shown = maker.opened(stored.data)
    assert (shown.size, shown.format, stored.suffix) == ((336, 336), kind, {"PNG": ".png", "JPEG": ".jpg"}[kind])


def test_pixels_are_bounded_then_fitted(maker: Maker) -> None:
    pixels = maker.pixels(1200, 1200)
    chosen = ImageSettings(max_side=1000, fit_crops=4)
    stored = stored_pixels(pixels, ".jpg", chosen)
    bounded = stored_pixels(pixels, ".png", ImageSettings(max_side=1000))
    expected = canvas_of(maker.opened(bounded.data), crop_grid(1000, 1000, 4))
    assert stored.suffix == ".png"
    assert np.array_equal(np.asarray(maker.opened(stored.data)), np.asarray(expected))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["documents/documents/linn.png", "images/grace_hopper_517x606.jpg"])
@pytest.mark.parametrize("crops", [1, 4])
def test_real_images_are_cut_alike_before_and_after(real_data: Path, maker: Maker, name: str, crops: int) -> None:
    data = (real_data / name).read_bytes()
    with Image.open(real_data / name) as image:
        width, height = image.size
        expected = canvas_of(image, crop_grid(width, height, crops))
    stored = maker.opened(stored_image(data, ImageSettings(fit_crops=crops)).data)
    assert np.array_equal(np.asarray(canvas_of(stored, crop_grid(*stored.size, crops))), np.asarray(expected))
