"""From a picture's bytes to the uint8 sub-crops it travels as, many times faster than Pillow and one part in 255 away.

OpenCV decodes what it decodes as Pillow does, and enlarges. Pictures are made smaller in two passes, as Pillow does it:
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

__all__ = ["ScaledPicture", "cut_pictures", "scaled_picture"]

# The workers are what runs side by side; threads within each would stand in each other's way.
cv2.setNumThreads(1)

Pixels = NDArray[np.uint8]
_WHITE = 255
_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
# Any marker but a restart, the end, and what stands for a plain 0xff.
_BREAK = re.compile(rb"\xff[^\x00\xd0-\xd7\xd9\xff]")
_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class ScaledPicture(NamedTuple):
    """A picture at the size it has on its canvas.

    Args:
        pixels: uint8 RGB [content height, content width, 3].
        grid: how its canvas is cut.
    """

    pixels: Pixels
    grid: CropGrid


def scaled_picture(data: bytes, processor: Phi3VImageProcessor, exact_pixels: bool = False) -> ScaledPicture:
    """Decode a picture and scale it.

    Args:
        data: an encoded picture of any kind that Pillow opens.
        processor: says how pictures are cut.
        exact_pixels: scale by Pillow alone, to the published pixels bit for bit.

    Raises:
        OSError: it is no picture, or a damaged one.
        ValueError: it is of a size that cannot be meant.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            grid = processor.crop_grid(*picture.size)
            if exact_pixels:
                return ScaledPicture(np.asarray(content_of(picture, grid)), grid)
            return ScaledPicture(_resize(_decode(picture, data), grid), grid)
    except UnidentifiedImageError as error:
        # Pillow would name the object in memory that the bytes came in.
        raise OSError("it is no picture") from error
    except (SyntaxError, EOFError, IndexError) as error:
        # So Pillow calls what is wrong inside some kinds of files.
        raise OSError(f"damaged: {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def cut_pictures(pictures: Sequence[ScaledPicture]) -> torch.Tensor:
    """Pad pictures with white to whole crops and cut them.

    Args:
        pictures: at least one, all for one model.

    Returns:
        uint8 [sub-crops of all pictures, 3, side, side], picture after picture, row by row.
    """
    side = pictures[0].grid.geometry.crop_size
    counts = [picture.grid.rows * picture.grid.columns for picture in pictures]
    # Colours stay together, as they were decoded, which is quicker than parting them; the crops' shape hides it.
    crops = np.empty((sum(counts), side, side, 3), np.uint8)
    for picture, end, count in zip(pictures, itertools.accumulate(counts), counts, strict=True):
        _cut(picture, crops[end - count : end])
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def _cut(picture: ScaledPicture, crops: Pixels) -> None:
    pixels, grid = picture
    side = grid.geometry.crop_size
    width, height = grid.canvas_size
    left, top = (width - pixels.shape[1]) // 2, (height - pixels.shape[0]) // 2
    for crop, (row, column) in zip(crops, np.ndindex(grid.rows, grid.columns), strict=True):
        # Where the crop begins on the picture; before 0 it is white.
        y, x = row * side - top, column * side - left
        part = pixels[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
        if part.shape[:2] != (side, side):
            crop.fill(_WHITE)
        down, right = max(-y, 0), max(-x, 0)
        crop[down : down + part.shape[0], right : right + part.shape[1]] = part


def _decode(picture: Image.Image, data: bytes) -> Pixels:
    if _opencv_agrees(picture, data):
        pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), _RGB)
        if pixels is not None and pixels.shape == (picture.height, picture.width, 3):
            decoded: Pixels = pixels
            return decoded
    return np.array(picture.convert("RGB"))


def _opencv_agrees(picture: Image.Image, data: bytes) -> bool:
    """Whether both decode to the same pixels, or both find the same damage."""
    if picture.mode not in ("RGB", "L") or "transparency" in picture.info or getattr(picture, "is_animated", False):
        return False
    if picture.format == "JPEG":
        return "progressive" not in picture.info and _is_one_whole_scan(data)
    bit_depth = data[24]
    return picture.format == "PNG" and bit_depth == 8 and data[-8:-4] == b"IEND"


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
