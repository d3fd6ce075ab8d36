"""Images are decoded and cut as the published processor does it: to within one part in 255, or bit for bit."""

from __future__ import annotations

import hashlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from phi3v_data.trainer.data import crops
from phi3v_data.trainer.data.crops import ScaledImage, cut_images, scaled_image
from phi3v_data.trainer.phi3v import Phi3VImageProcessor
from phi3v_data.trainer.phi3v.image_processing import canvas_of
from phi3v_data.trainer.phi3v.sub_crops import crops_of_parts

_SMALL = Phi3VImageProcessor(6, crop_size=56, num_img_tokens=4)
_ONE_CROP = Phi3VImageProcessor(1, crop_size=56, num_img_tokens=4)
Pixels = NDArray[np.uint8]


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def canvas(image: ScaledImage) -> Pixels:
    """Cut an image and put its sub-crops back together: [height, width, 3]."""
    rows, columns = image.grid.rows, image.grid.columns
    parts = cut_images([image]).unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)
    made: Pixels = parts.reshape(rows * parts.shape[1], -1, 3).numpy()
    return made


def published(data: bytes, processor: Phi3VImageProcessor) -> Pixels:
    image = Image.open(io.BytesIO(data))
    return np.array(canvas_of(image, processor.crop_grid(*image.size)))


def distance(data: bytes, processor: Phi3VImageProcessor, exact_pixels: bool = False) -> int:
    """How far the farthest colour is from the published one, of 255 parts."""
    made = canvas(scaled_image(data, processor, exact_pixels)).astype(int)
    return int(np.abs(made - published(data, processor)).max())


def content(kind: str, width: int, height: int, seed: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    if kind == "noise":
        pixels = draw.integers(0, 256, (height, width, 3))
    elif kind == "two colours":
        pixels = draw.integers(0, 2, (height, width, 1)).repeat(3, 2) * 255
    elif kind == "stripes":
        pixels = draw.integers(0, 256, (1, width, 3)).repeat(height, 0)
    else:
        few = draw.integers(0, 256, (3, 4, 3)).astype(np.uint8)
        pixels = np.array(Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC))
    return Image.fromarray(pixels.astype(np.uint8))


_KINDS = st.sampled_from(["noise", "two colours", "stripes", "smooth"])
_SIDES = st.one_of(st.integers(1, 60), st.integers(50, 700))


@given(kind=_KINDS, width=_SIDES, height=_SIDES, num_crops=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_pixels_are_within_one_part_of_the_published_and_exact_ones_are_they(
    kind: str, width: int, height: int, num_crops: int, seed: int
) -> None:
    processor = Phi3VImageProcessor(num_crops, crop_size=56, num_img_tokens=4)
    data = encoded(content(kind, width, height, seed), compress_level=1)
    assert distance(data, processor) <= 1
    assert distance(data, processor, exact_pixels=True) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_a_ratio_that_torchs_kernel_alone_gets_wrong_stays_within_one_part(turned: bool) -> None:
    # Five to four: sums fall on halves in both passes, where torch and Pillow round apart.
    image = content("noise", 840, 835, seed=3)
    data = encoded(image.transpose(Image.Transpose.TRANSPOSE) if turned else image, compress_level=1)
    processor = Phi3VImageProcessor(4)
    assert distance(data, processor) <= 1
    with mock.patch.object(
        crops, "_vertical_pass", lambda pixels, height: crops._first_pass(pixels, pixels.shape[1], height)
    ):
        assert distance(data, processor) == 2


def test_a_image_of_its_contents_size_is_not_touched() -> None:
    grid = _SMALL.crop_grid(800, 600)
    image = content("noise", grid.content_width, grid.content_height, seed=0)
    with (
        mock.patch.object(cv2, "resize", side_effect=AssertionError),
        mock.patch.object(crops, "_first_pass", side_effect=AssertionError),
    ):
        cut = scaled_image(encoded(image), _SMALL)
    assert cut.grid == grid
    above = (grid.canvas_size[1] - image.height) // 2
    assert np.array_equal(canvas(cut)[above : above + image.height], np.array(image))


def test_crops_go_row_by_row() -> None:
    grid = _SMALL.crop_grid(168, 112)
    assert (grid.rows, grid.columns) == (2, 3)
    image = np.zeros((112, 168, 3), np.uint8)
    for row in range(2):
        for column in range(3):
            image[56 * row : 56 * row + 56, 56 * column : 56 * column + 56] = 10 * (3 * row + column)
    cut = cut_images([scaled_image(encoded(Image.fromarray(image)), _SMALL)])
    assert [crop.unique().tolist() for crop in cut] == [[0], [10], [20], [30], [40], [50]]


def _jpeg(image: Image.Image, **options: Any) -> bytes:
    return encoded(image, "JPEG", **options)


def _with_text_behind(data: bytes) -> bytes:
    return data + b"more"


def _gamma() -> PngInfo:
    info = PngInfo()
    info.add(b"gAMA", (100_000).to_bytes(4, "big"))
    return info


_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_PHOTO = content("smooth", 90, 70, seed=1)
_FORMS = {
    "jpeg": _jpeg(_PHOTO),
    "jpeg, colours at full size": _jpeg(_PHOTO, subsampling=0, quality=95),
    "jpeg, colours at half width": _jpeg(_PHOTO, subsampling=1),
    "jpeg, grey": _jpeg(_PHOTO.convert("L")),
    "jpeg, progressive": _jpeg(_PHOTO, progressive=True),
    "jpeg with restarts": _jpeg(_PHOTO, restart_marker_rows=1),
    "jpeg, turned by a tag": _jpeg(
        _PHOTO, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
    "jpeg, CMYK": _jpeg(_PHOTO.convert("CMYK")),
    "jpeg with a profile": _jpeg(_PHOTO, icc_profile=_PROFILE),
    "jpeg with text behind": _with_text_behind(_jpeg(_PHOTO)),
    "png": encoded(_PHOTO),
    "png, grey": encoded(_PHOTO.convert("L")),
    "png, palette": encoded(_PHOTO.convert("P")),
    "png, palette with a transparent colour": encoded(_PHOTO.convert("P"), transparency=3),
    "png, alpha": encoded(_PHOTO.convert("RGBA")),
    "png, grey and alpha": encoded(_PHOTO.convert("LA")),
    "png with a transparent colour": encoded(_PHOTO, transparency=(1, 2, 3)),
    "png, one bit": encoded(_PHOTO.convert("1")),
    "png, two bits": encoded(_PHOTO.convert("P", colors=4), bits=2),
    "png, 16 bits": encoded(Image.fromarray(np.linspace(0, 65535, 6300).astype(np.uint16).reshape(70, 90))),
    "png, animated": encoded(_PHOTO, save_all=True, append_images=[content("noise", 90, 70, seed=4)]),
    "png with gamma and a profile": encoded(_PHOTO, pnginfo=_gamma(), icc_profile=_PROFILE),
    "png with text behind": _with_text_behind(encoded(_PHOTO)),
    "gif": encoded(_PHOTO, "GIF"),
    "webp": encoded(_PHOTO, "WEBP"),
    "bmp": encoded(_PHOTO, "BMP"),
    "tiff": encoded(_PHOTO, "TIFF"),
}


@pytest.mark.parametrize("form", _FORMS)
def test_a_image_of_any_form_is_what_pillow_makes_of_it(form: str) -> None:
    # The very size of its canvas's content, so that nothing but the decoding shows.
    image = Image.open(io.BytesIO(_FORMS[form]))
    processor = Phi3VImageProcessor(1, crop_size=90, num_img_tokens=4)
    assert processor.crop_grid(*image.size).content_width == image.width
    assert distance(_FORMS[form], processor) == 0


def test_opencv_decodes_what_it_decodes_as_pillow_does() -> None:
    decoded: list[str] = []
    original = cv2.imdecode

    def decode(form: str, data: NDArray[np.uint8], flags: int) -> object:
        decoded.append(form)
        return original(data, flags)

    for form, data in _FORMS.items():
        with mock.patch.object(cv2, "imdecode", partial(decode, form)):
            scaled_image(data, _SMALL)
    assert decoded == [
        "jpeg",
        "jpeg, colours at full size",
        "jpeg, colours at half width",
        "jpeg, grey",
        "jpeg with restarts",
        "jpeg, turned by a tag",
        "jpeg with a profile",
        "png",
        "png, grey",
        "png with gamma and a profile",
    ]


def _pixels_or_refusal(data: bytes, exact_pixels: bool) -> Pixels | None:
    try:
        return canvas(scaled_image(data, _ONE_CROP, exact_pixels))
    except (OSError, ValueError):
        return None


@given(
    form=st.sampled_from(["jpeg", "jpeg, grey", "jpeg with restarts", "jpeg, progressive", "png", "png, grey"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    end=st.one_of(st.just(1.0), st.floats(0, 1)),
)
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_refused_where_pillow_refuses_it_and_else_gives_its_pixels(
    form: str, changes: list[tuple[float, int]], end: float
) -> None:
    image = content("smooth", _SMALL.crop_size, _SMALL.crop_size, seed=2)
    options = {"progressive": True} if "progressive" in form else {"restart_marker_rows": int("restarts" in form)}
    grey = image.convert("L") if "grey" in form else image
    data = bytearray(_jpeg(grey, **options) if "jpeg" in form else encoded(grey))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    spoilt = bytes(data[: int(end * len(data))])
    found, expected = (_pixels_or_refusal(spoilt, exact_pixels) for exact_pixels in (False, True))
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        # Damage may change the very size, and then there is something to scale.
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_scan_that_opencv_would_leave_grey_is_refused() -> None:
    data = _jpeg(content("noise", 200, 100, seed=0))
    broken = data[: len(data) // 2] + b"\xff\xc4\x00\x03" + data[len(data) // 2 :]
    assert cv2.imdecode(np.frombuffer(broken, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(OSError, match="broken data stream"):
        scaled_image(broken, _SMALL)


def test_a_image_too_large_to_be_meant_is_refused() -> None:
    with mock.patch.object(Image, "MAX_IMAGE_PIXELS", 1000), pytest.raises(ValueError, match="exceeds limit"):
        scaled_image(_FORMS["jpeg"], _SMALL)


@pytest.mark.real_data
def test_golden_images_are_the_published_ones_bit_for_bit_or_nearly(golden: Path) -> None:
    cases = json.loads((golden / "processor.json").read_text())["cases"]
    for case in cases:
        data = (golden / "images" / case["file"]).read_bytes()
        processor = Phi3VImageProcessor(case["num_crops"])
        exact = scaled_image(data, processor, exact_pixels=True)
        assert hashlib.sha256(canvas(exact).tobytes()).hexdigest() == case["hd_uint8_sha256"]
        pixels = crops_of_parts(cut_images([exact]), [exact.grid])
        if len(pixels) == 1:  # the published processor gives the only crop twice
            pixels = pixels.repeat(2, 1, 1, 1)
        filled = torch.zeros(case["pixel_values_shape"])
        filled[0, : len(pixels)] = pixels
        assert hashlib.sha256(filled.numpy().tobytes()).hexdigest() == case["sha256_float32"]
        assert distance(data, processor) <= 1


@pytest.mark.real_data
def test_real_images_are_within_one_part_of_the_published(real_data: Path) -> None:
    files = [*sorted((real_data / "images").iterdir()), *sorted((real_data / "documents" / "documents").iterdir())]
    assert len(files) > 8
    for file in files:
        assert distance(file.read_bytes(), Phi3VImageProcessor(16 if "documents" in file.parts else 4)) <= 1, file
