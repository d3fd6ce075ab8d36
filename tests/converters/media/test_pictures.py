"""Pictures as JPEG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phi3v_data.converters.media.pictures import DEFAULT_QUALITY, encode_jpeg, encoder_versions
from phi3v_data.schema.errors import ItemError, MediaError


def by_pillow(image: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 100))
def test_the_bytes_are_pillows(height: int, width: int, quality: int) -> None:
    pixels = noise(height, width, 3)
    assert encode_jpeg(pixels, quality) == by_pillow(Image.fromarray(pixels), quality=quality)


def test_the_default_quality_is_pillows_own() -> None:
    pixels = noise(24, 32, 3)
    assert DEFAULT_QUALITY == 75
    assert encode_jpeg(pixels) == by_pillow(Image.fromarray(pixels))


def test_an_array_seen_from_the_side_is_encoded_as_it_is_seen() -> None:
    pixels = noise(24, 32, 3)
    turned = np.rot90(pixels)
    assert not turned.flags.c_contiguous
    assert encode_jpeg(turned) == encode_jpeg(turned.copy())


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_an_image_of_any_mode_is_encoded_as_rgb(mode: str) -> None:
    image = Image.fromarray(noise(24, 32, 3)).convert(mode)
    assert encode_jpeg(image) == by_pillow(image.convert("RGB"))


def test_an_image_is_turned_as_its_exif_data_asks() -> None:
    image = Image.fromarray(noise(24, 32, 3))
    image.getexif()[0x0112] = 6  # turn by 90 degrees clockwise
    stored = io.BytesIO()
    image.save(stored, "PNG", exif=image.getexif())
    assert encode_jpeg(Image.open(stored)) == encode_jpeg(np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize(
    "pixels",
    [
        noise(24, 32),
        noise(24, 32, 4),
        noise(24, 32, 3).astype(np.float32),
        noise(24, 32, 3).astype(np.uint16),
        noise(0, 32, 3),
        noise(24, 0, 3),
        np.zeros((1, 65_536, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "16 bits", "no rows", "no columns", "too wide"],
)
def test_what_is_no_picture_for_a_jpeg_is_refused_in_one_line(pixels: np.ndarray) -> None:
    with pytest.raises(ItemError) as caught:
        encode_jpeg(pixels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_whose_file_is_cut_in_half_is_refused_in_one_line(kind: str) -> None:
    stored = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(stored, kind)
    half = Image.open(io.BytesIO(stored.getvalue()[: stored.tell() // 2]))
    with pytest.raises(MediaError, match="damaged") as caught:
        encode_jpeg(half)
    assert "\n" not in str(caught.value)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["corrupt.jpg", "corrupt34_2.jpg"])
def test_a_damaged_picture_is_refused(real_data: Path, name: str) -> None:
    with Image.open(real_data / "corrupt" / name) as image, pytest.raises(MediaError, match="damaged"):
        encode_jpeg(image)


def test_the_encoders_version_is_named() -> None:
    import cv2

    assert encoder_versions() == {"opencv": cv2.__version__}
