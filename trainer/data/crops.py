"""From an image's bytes to the uint8 sub-crops it travels as, many times faster than Pillow and one part in 255 away.

OpenCV decodes what it decodes as Pillow does, and enlarges. Images are made smaller in two passes, as Pillow does it:
the first, over most of the pixels, by torch's vectorised kernel, the second by Pillow itself. Each pass rounds once.
After the first the two differ by at most one part in 255, and the second, a weighted mean, adds nothing to that;
torch's kernel in both passes would now and then be two parts off.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ...schema.vision_tokens import CropGrid
from ..phi3v.image_processing import Phi3VImageProcessor, content_of

# The workers are what runs side by side; threads within each would stand in each other's way.
cv2.setNumThreads(1)

Pixels = NDArray[np.uint8]
_WHITE = 255
_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
# Any marker but a restart, the end, and what stands for a plain 0xff.
_BREAK = re.compile(rb"\xff[^\x00\xd0-\xd7\xd9\xff]")
_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class ScaledImage(NamedTuple):
    """An image at the size it has on its canvas.

    Args:
        pixels: uint8 RGB [content height, content width, 3].
        grid: how its canvas is cut.
    """

    pixels: Pixels
    grid: CropGrid


def scaled_image(data: bytes, processor: Phi3VImageProcessor, exact_pixels: bool = False) -> ScaledImage:
    """Decode an image and scale it.

    Args:
        data: an encoded image of any kind that Pillow opens.
        processor: says how images are cut.
        exact_pixels: scale by Pillow alone, to the published pixels bit for bit.

    Raises:
        OSError: it is no image, or a damaged one.
        ValueError: it is of a size that cannot be meant.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            grid = processor.crop_grid(*image.size)
            if exact_pixels:
                return ScaledImage(np.asarray(content_of(image, grid)), grid)
            return ScaledImage(_resize(_decode(image, data), grid), grid)
    except UnidentifiedImageError as error:
        # Pillow would name the object in memory that the bytes came in.
        raise OSError("it is no image") from error
    except (SyntaxError, EOFError, IndexError) as error:
        # So Pillow calls what is wrong inside some kinds of files.
        raise OSError(f"damaged: {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def cut_images(images: Sequence[ScaledImage]) -> torch.Tensor:
    """Pad images with white to whole crops and cut them.

    Args:
        images: at least one, all for one model.

    Returns:
        uint8 [sub-crops of all images, 3, side, side], image after image, row by row.
    """
    side = images[0].grid.geometry.crop_size
    counts = [image.grid.rows * image.grid.columns for image in images]
    # Colours stay together, as they were decoded, which is quicker than parting them; the crops' shape hides it.
    crops = np.empty((sum(counts), side, side, 3), np.uint8)
    for image, end, count in zip(images, itertools.accumulate(counts), counts, strict=True):
        _cut(image, crops[end - count : end])
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def _cut(image: ScaledImage, crops: Pixels) -> None:
    pixels, grid = image
    side = grid.geometry.crop_size
    width, height = grid.canvas_size
    left, top = (width - pixels.shape[1]) // 2, (height - pixels.shape[0]) // 2
    for crop, (row, column) in zip(crops, np.ndindex(grid.rows, grid.columns), strict=True):
        # Where the crop begins on the image; before 0 it is white.
        y, x = row * side - top, column * side - left
        part = pixels[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
        if part.shape[:2] != (side, side):
            crop.fill(_WHITE)
        down, right = max(-y, 0), max(-x, 0)
        crop[down : down + part.shape[0], right : right + part.shape[1]] = part


def _decode(image: Image.Image, data: bytes) -> Pixels:
    if _opencv_agrees(image, data):
        pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), _RGB)
        if pixels is not None and pixels.shape == (image.height, image.width, 3):
            decoded: Pixels = pixels
            return decoded
    return np.array(image.convert("RGB"))


def _opencv_agrees(image: Image.Image, data: bytes) -> bool:
    """Whether both decode to the same pixels, or both find the same damage."""
    if image.mode not in ("RGB", "L") or "transparency" in image.info or getattr(image, "is_animated", False):
        return False
    if image.format == "JPEG":
        return "progressive" not in image.info and _is_one_whole_scan(data)
    bit_depth = data[24]
    return image.format == "PNG" and bit_depth == 8 and data[-8:-4] == b"IEND"


def _is_one_whole_scan(jpeg: bytes) -> bool:
    """Whether nothing but restarts breaks a JPEG's pixels, up to its end.

    Where something does, OpenCV may leave the rest grey and say nothing; Pillow tells damage from what is allowed.
    """
    place = 2
    while jpeg[place : place + 2] != _START_OF_SCAN:
        size = int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if jpeg[place : place + 1] != b"\xff" or size < 2:
            return False
        place += 2 + size
    return jpeg.endswith(_END) and _BREAK.search(jpeg, place + 2) is None


def _resize(pixels: Pixels, grid: CropGrid) -> Pixels:
    width, height = grid.content_width, grid.content_height
    if pixels.shape[:2] == (height, width):
        return pixels
    if width >= pixels.shape[1] and height >= pixels.shape[0]:
        enlarged: Any = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        larger: Pixels = enlarged
        return larger
    # A portrait is worked on as its transpose, so its first pass is the vertical one.
    if pixels.shape[1] < pixels.shape[0]:
        turned = cv2.transpose(_first_pass(pixels, pixels.shape[1], height))
        upright: Any = cv2.transpose(_vertical_pass(turned, width))
        smaller: Pixels = upright
        return smaller
    return _vertical_pass(_first_pass(pixels, width, pixels.shape[0]), height)


def _first_pass(pixels: Pixels, width: int, height: int) -> Pixels:
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear", antialias=True)
    made: Pixels = scaled[0].permute(1, 2, 0).numpy()
    return made


def _vertical_pass(pixels: Any, height: int) -> Pixels:
    # Colours do not matter here: a row of them is a row of numbers, which Pillow takes without copying.
    rows, columns = pixels.shape[0], pixels.shape[1] * 3
    image = Image.frombuffer("L", (columns, rows), np.ascontiguousarray(pixels), "raw", "L", 0, 1)
    return np.asarray(image.resize((columns, height), Image.Resampling.BILINEAR)).reshape(height, -1, 3)
