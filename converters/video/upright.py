"""Frames as a player displays them: turned as the clip's display matrix says, with square pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image

# A pixel may be so many times as wide as high, or as high as wide; anything beyond is a damaged header.
MOST_OBLONG = 8


class Display(NamedTuple):
    """What has to be done to a stored frame: exchange rows and columns, turn it upside down, mirror it left to right.

    `pixel_aspect` is the width of a stored pixel over its height.
    """

    swap: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    pixel_aspect: Fraction = Fraction(1)


def read_display(matrix: bytes | None, pixel_aspect: Fraction | None) -> Display:
    """Read what a clip says about displaying its frames, by its display matrix as FFmpeg gives it.

    That is nine int32 (a b u, c d v, x y w): the stored point (x, y), y downwards, is displayed at (ax + cy, bx + dy).
    Quarter turns and mirrorings are followed; a matrix that is neither is not.
    """
    aspect = pixel_aspect if pixel_aspect and 1 / MOST_OBLONG <= pixel_aspect <= MOST_OBLONG else Fraction(1)
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist() if matrix else (1, 0, 0, 0, 1, 0)
    if a == d == 0 and b and c:
        return Display(True, b < 0, c < 0, aspect)
    if b == c == 0 and a and d:
        return Display(False, d < 0, a < 0, aspect)
    return Display(pixel_aspect=aspect)


def upright(pixels: np.ndarray, display: Display) -> np.ndarray:
    """Display a stored frame, uint8 [H, W, 3], as it is meant.

    The height of the stored frame is kept and its width multiplied by the pixels' aspect, resampled bicubically.
    """
    height, width = pixels.shape[:2]
    if display.pixel_aspect != 1:
        displayed_width = max(1, round(width * display.pixel_aspect))
        pixels = np.asarray(Image.fromarray(pixels).resize((displayed_width, height), Image.Resampling.BICUBIC))
    if display.swap:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if display.flip_rows else 1, :: -1 if display.flip_columns else 1])


def as_stored(pixels: np.ndarray, display: Display) -> np.ndarray:
    """Turn a frame, uint8 [H, W, 3], back that was turned, but not resampled, for display."""
    pixels = pixels[:: -1 if display.flip_rows else 1, :: -1 if display.flip_columns else 1]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if display.swap else pixels)
