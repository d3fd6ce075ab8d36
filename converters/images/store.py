"""The form in which an image is stored; the package's text states the rule."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from ...schema.vision_tokens import crop_grid
from .encode import check_pixels, encode_jpeg, encode_png
from .plain import is_lossless, is_plain, upright_rgb
from .read import read_image, undamaged
from .settings import ImageSettings

Size: TypeAlias = tuple[int, int]

_SUFFIXES = {"png": ".png", "jpeg": ".jpg"}


class StoredImage(NamedTuple):
    """An image as it is stored: the bytes of its file, and the suffix that belongs to them (`.jpg` or `.png`)."""

    data: bytes
    suffix: str


def stored_image(data: bytes, settings: ImageSettings) -> StoredImage:
    """Bring an encoded image, a file's bytes, to the form in which it is stored.

    Raises:
        MediaError: it is of no known format, damaged, too large, or has no meaning in RGB.
        ItemError: it is too long for a JPEG.
    """
    image = read_image(data)
    suffix = ".png" if is_lossless(image, data) else ".jpg"
    if is_plain(image, data) and settings.image_format in ("keep", str(image.format).lower()):
        size = bounded_size(image.size, settings)
        if size == image.size and fitted_size(size, settings.fit_crops) is None:
            return StoredImage(data, suffix)
    with undamaged():
        image = upright_rgb(image)
    return _encoded(image, suffix, settings)


def stored_pixels(image: np.ndarray | Image.Image, suffix: str, settings: ImageSettings) -> StoredImage:
    """Bring decoded pixels, uint8 [H, W, 3] RGB or any Pillow image, to the form in which they are stored.

    The suffix, `.jpg` or `.png`, is the one meant where the settings say nothing else.

    Raises:
        MediaError: an image's file is damaged, or has no meaning in RGB.
        ItemError: the array is not an image, or is too long for a JPEG.
    """
    if isinstance(image, Image.Image):
        with undamaged():
            image.load()
            image = upright_rgb(image)
    else:
        check_pixels(image)
    return _encoded(image, suffix, settings)


def _encoded(pixels: np.ndarray | Image.Image, suffix: str, settings: ImageSettings) -> StoredImage:
    suffix = _SUFFIXES.get(settings.image_format, suffix)
    if settings.max_pixels or settings.max_side or settings.fit_crops:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        bounded = bounded_size(image.size, settings)
        if bounded != image.size:
            image = image.resize(bounded, Image.Resampling.LANCZOS)
        if fitted := fitted_size(bounded, settings.fit_crops):
            image = _resized(image, fitted)
            suffix = ".jpg" if settings.image_format == "jpeg" else ".png"
        pixels = image
    pixels = np.asarray(pixels)
    data = encode_png(pixels) if suffix == ".png" else encode_jpeg(pixels, settings.quality)
    return StoredImage(data, suffix)


def bounded_size(size: Size, settings: ImageSettings) -> Size:
    """Return the largest size within --max-pixels and --max-side that has an image's shape, never larger than it."""
    width, height = size
    by_pixels = math.sqrt(settings.max_pixels / (width * height)) if settings.max_pixels else 1.0
    scale = min(1.0, by_pixels, settings.max_side / max(size) if settings.max_side else 1.0)
    return size if scale == 1.0 else (max(1, int(width * scale)), max(1, int(height * scale)))


def fitted_size(size: Size, crops: int | None) -> Size | None:
    """Return the size at which the model sees an image, cut into so many sub-crops at most.

    None where that is not smaller, and where the model would cut an image of that size in another way: the published
    arithmetic rounds, and what it makes of its own result may be a pixel less.
    """
    if crops is None:
        return None
    grid = crop_grid(*size, crops)
    fitted = grid.content_width, grid.content_height
    return fitted if math.prod(fitted) < math.prod(size) and crop_grid(*fitted, crops) == grid else None


def _resized(image: Image.Image, size: Size) -> Image.Image:
    """Scale an image as the model's image processing does: bilinear, a portrait as its transpose."""
    if image.width < image.height:
        turned = _resized(image.transpose(Image.Transpose.TRANSPOSE), size[::-1])
        return turned.transpose(Image.Transpose.TRANSPOSE)
    return image.resize(size, Image.Resampling.BILINEAR)
