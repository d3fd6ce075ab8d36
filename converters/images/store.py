"""The form in which an image is stored; the package's text states the rule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from .encode import check_pixels, encode_jpeg, encode_png
from .plain import is_lossless, is_plain
from .read import read_image, undamaged
from .rgb import upright_rgb
from .settings import ImageSettings
from .size import bounded_size, fitted_size, resized

__all__ = ["StoredImage", "stored_image", "stored_pixels"]

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
    """Bring decoded pixels to the form in which they are stored.

    Args:
        image: uint8 [H, W, 3] RGB, or any Pillow image.
        suffix: `.jpg` or `.png`, whichever is meant where the settings say nothing else.
        settings: how images are stored.

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
        fitted = fitted_size(bounded, settings.fit_crops)
        if fitted is not None:
            image = resized(image, fitted)
            suffix = ".jpg" if settings.image_format == "jpeg" else ".png"
        pixels = image
    pixels = np.asarray(pixels)
    data = encode_png(pixels) if suffix == ".png" else encode_jpeg(pixels, settings.quality)
    return StoredImage(data, suffix)
