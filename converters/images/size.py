"""How large an image is stored."""

from __future__ import annotations

import math

from PIL import Image

from ...schema.vision_tokens import CropGrid, crop_grid
from .settings import ImageSettings

__all__ = ["bounded_size", "fitted_size", "resized"]

Size = tuple[int, int]


def bounded_size(size: Size, settings: ImageSettings) -> Size:
    """Return the largest size within --max-pixels and --max-side that has an image's shape, never larger than it."""
    width, height = size
    scale = 1.0
    if settings.max_pixels is not None:
        scale = min(scale, math.sqrt(settings.max_pixels / (width * height)))
    if settings.max_side is not None:
        scale = min(scale, settings.max_side / max(size))
    if scale == 1.0:
        return size
    return max(1, int(width * scale)), max(1, int(height * scale))


def fitted_size(size: Size, crops: int | None) -> Size | None:
    """Return the size at which the model sees an image at so many crops, where storing it so is worth it.

    None where it is not smaller, and where the model would cut an image of that size in another way: the published
    arithmetic rounds, and what it makes of its own result may be a pixel less.

    Args:
        size: width and height in pixels.
        crops: the most sub-crops an image is cut into; None for not to fit at all.
    """
    if crops is None:
        return None
    grid = crop_grid(*size, crops)
    fitted = grid.content_width, grid.content_height
    smaller = math.prod(fitted) < math.prod(size)
    return fitted if smaller and _cuts(crop_grid(*fitted, crops)) == _cuts(grid) else None


def _cuts(grid: CropGrid) -> tuple[int, int, int, int]:
    return grid.rows, grid.columns, grid.content_width, grid.content_height


def resized(image: Image.Image, size: Size) -> Image.Image:
    """Scale an image as the model's image processing does: bilinear, a portrait as its transpose."""
    if image.width < image.height:
        turned = resized(image.transpose(Image.Transpose.TRANSPOSE), size[::-1])
        return turned.transpose(Image.Transpose.TRANSPOSE)
    return image.resize(size, Image.Resampling.BILINEAR)
