from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phi3v_data.converters.images import DEFAULT_QUALITY
from phi3v_data.converters.images.store import encode_jpeg, encode_png, encoder_versions
from phi3v_data.schema.errors import ItemError


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def by_pillow(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 100))
def test_the_bytes_are_pillows(height: int, width: int, quality: int) -> None:
    pixels = noise(height, width, 3)
    assert encode_jpeg(pixels, quality) == by_pillow(pixels, "JPEG", quality=quality)


def test_the_default_quality_is_pillows_own() -> None:
    pixels = noise(24, 32, 3)
    assert DEFAULT_QUALITY == 75
    assert encode_jpeg(pixels) == by_pillow(pixels, "JPEG")


def test_an_array_seen_from_the_side_is_encoded_as_it_is_seen() -> None:
    pixels = noise(24, 32, 3)
    turned = np.rot90(pixels)
    assert not turned.flags.c_contiguous
    assert encode_jpeg(turned) == encode_jpeg(turned.copy())
    assert encode_png(turned) == encode_png(turned.copy())


def test_a_png_gives_the_pixels_back() -> None:
    pixels = noise(24, 32, 3)
    image = Image.open(io.BytesIO(encode_png(pixels)))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
@pytest.mark.parametrize(
    "pixels",
    [
        noise(24, 32),
        noise(24, 32, 4),
        noise(24, 32, 3).astype(np.float32),
        noise(24, 32, 3).astype(np.uint16),
        noise(0, 32, 3),
        noise(24, 0, 3),
    ],
    ids=["grey", "alpha", "float", "16 bits", "no rows", "no columns"],
)
def test_what_is_no_image_is_refused_in_one_line(encode: Callable[[np.ndarray], bytes], pixels: np.ndarray) -> None:
    with pytest.raises(ItemError) as caught:
        encode(pixels)
    assert "\n" not in str(caught.value)


def test_a_image_too_long_for_a_jpeg_is_refused() -> None:
    with pytest.raises(ItemError, match="at most 65535 a side"):
        encode_jpeg(np.zeros((1, 65_536, 3), np.uint8))


def test_the_versions_of_the_libraries_are_named() -> None:
    import cv2

    assert encoder_versions() == {"opencv": cv2.__version__, "pillow": PIL.__version__}


def test_a_png_has_row_filters_only_where_they_save_much() -> None:
    def written(pixels: np.ndarray, filters: int) -> int:
        return len(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_FILTER, filters])[1])

    noise = np.random.default_rng(0).normal(0, 2, (200, 300))
    photograph = (np.add.outer(np.arange(200), np.arange(300)) / 2 + noise).clip(0, 255).astype(np.uint8)
    page = np.where(noise > 3, 30, 240).astype(np.uint8)
    for grey, form in ((photograph, cv2.IMWRITE_PNG_ALL_FILTERS), (page, cv2.IMWRITE_PNG_FILTER_NONE)):
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
        assert written(pixels, cv2.IMWRITE_PNG_ALL_FILTERS) != written(pixels, cv2.IMWRITE_PNG_FILTER_NONE)
        assert len(encode_png(pixels)) == written(pixels, form)
