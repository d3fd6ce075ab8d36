"""From an image's size to its crops and its number of tokens: arithmetic only, no pixels.

The rules are those of the published Phi-3-vision image processor ("HD transform"): an image is scaled to a canvas of
`columns x rows` crops, padded to whole crops, and shown beside one global crop of the whole canvas. Each crop gives
`tokens_per_side ** 2` tokens; every row of tokens ends with a separator and one more stands between crops and global
crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class VisionGeometry:
    """The sizes that the token arithmetic follows from; a model's own come from its configuration.

    Args:
        crop_size: side of a crop in pixels (CLIP's input).
        tokens_per_side: tokens along a crop's side after 2x2 patches are merged.
    """

    crop_size: int = 336
    tokens_per_side: int = 12

    def __post_init__(self) -> None:
        if self.crop_size < 1 or self.tokens_per_side < 1:
            raise ValueError(f"crop_size and tokens_per_side must be at least 1: {self}")


@dataclass(frozen=True)
class CropGrid:
    """How one image is cut.

    Args:
        rows: sub-crops from top to bottom.
        columns: sub-crops from left to right.
        content_width: width of the scaled image on the canvas, in pixels.
        content_height: its height; the rest of the canvas is padding.
        geometry: the sizes it was computed with.
    """

    rows: int
    columns: int
    content_width: int
    content_height: int
    geometry: VisionGeometry

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Width and height of the padded canvas, in pixels."""
        return self.columns * self.geometry.crop_size, self.rows * self.geometry.crop_size

    @property
    def tokens(self) -> int:
        """Number of tokens the image costs in the prompt, separators included."""
        side = self.geometry.tokens_per_side
        return (self.rows * self.columns + 1) * side * side + 1 + (self.rows + 1) * side

    @property
    def encoded_crops(self) -> int:
        """How many crops the tower encodes: sub-crops and global crop, or the one that is both."""
        parts = self.rows * self.columns
        return parts + 1 if parts > 1 else 1


_DEFAULT = VisionGeometry()


def crop_grid(width: int, height: int, num_crops: int, geometry: VisionGeometry = _DEFAULT) -> CropGrid:
    """Lay an image of `width x height` pixels out on at most `num_crops` crops.

    A portrait is laid out as its transpose and turned back, so that the long side decides in both cases. The float
    arithmetic (a ratio, a floor) is the published processor's and is kept: integers would differ by a pixel at times.

    Raises:
        ValueError: a size or `num_crops` under 1.
    """
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width}x{height} pixels; both sides must be at least 1")
    if num_crops < 1:
        raise ValueError(f"num_crops is {num_crops}; it must be at least 1")
    if width < height:
        turned = crop_grid(height, width, num_crops, geometry)
        return CropGrid(turned.columns, turned.rows, turned.content_height, turned.content_width, geometry)
    ratio = width / height
    columns = _most_columns(ratio, num_crops)
    content_width = columns * geometry.crop_size
    # A line of pixels (10000 x 1) would round to no height at all.
    content_height = max(1, int(content_width / ratio))
    return CropGrid(math.ceil(content_height / geometry.crop_size), columns, content_width, content_height, geometry)


def _most_columns(ratio: float, num_crops: int) -> int:
    columns = 1
    while (columns + 1) * math.ceil((columns + 1) / ratio) <= num_crops:
        columns += 1
    return columns
