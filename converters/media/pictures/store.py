"""The form in which a picture is stored; the package's text states the rule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from .encode import check_pixels, encode_jpeg, encode_png
from .plain import is_lossless, is_plain
from .read import read_picture, undamaged
from .rgb import upright_rgb
from .settings import PictureSettings
from .size import bounded_size, fitted_size, resized

__all__ = ["StoredPicture", "stored_picture", "stored_pixels"]

_SUFFIXES = {"png": ".png", "jpeg": ".jpg"}


class StoredPicture(NamedTuple):
    """A picture as it is stored: the bytes of its file, and the suffix that belongs to them (`.jpg` or `.png`)."""

    data: bytes
    suffix: str


def stored_picture(data: bytes, settings: PictureSettings) -> StoredPicture:
    """Bring an encoded picture to the form in which it is stored.

    Args:
        data: a file's bytes.
        settings: how pictures are stored.

    Raises:
        MediaError: it is of no known format, damaged, too large, or has no meaning in RGB.
        ItemError: it is too long for a JPEG.
    """
    image = read_picture(data)
    suffix = ".png" if is_lossless(image, data) else ".jpg"
    if is_plain(image, data) and settings.picture_format in ("keep", str(image.format).lower()):
        size = bounded_size(image.size, settings)
        if size == image.size and fitted_size(size, settings.fit_crops) is None:
            return StoredPicture(data, suffix)
    with undamaged():
        image = upright_rgb(image)
    return _encoded(image, suffix, settings)


def stored_pixels(picture: np.ndarray | Image.Image, suffix: str, settings: PictureSettings) -> StoredPicture:
    """Bring decoded pixels to the form in which they are stored.

    Args:
        picture: uint8 [H, W, 3] RGB, or any Pillow image.
        suffix: `.jpg` or `.png`, whichever is meant where the settings say nothing else.
        settings: how pictures are stored.

    Raises:
        MediaError: an image's file is damaged, or has no meaning in RGB.
        ItemError: the array is no picture, or is too long for a JPEG.
    """
    if isinstance(picture, Image.Image):
        with undamaged():
            picture.load()
            picture = upright_rgb(picture)
    else:
        check_pixels(picture)
    return _encoded(picture, suffix, settings)


def _encoded(picture: np.ndarray | Image.Image, suffix: str, settings: PictureSettings) -> StoredPicture:
    suffix = _SUFFIXES.get(settings.picture_format, suffix)
    if settings.max_pixels or settings.max_side or settings.fit_crops:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        bounded = bounded_size(image.size, settings)
        if bounded != image.size:
            image = image.resize(bounded, Image.Resampling.LANCZOS)
        fitted = fitted_size(bounded, settings.fit_crops)
        if fitted is not None:
            image = resized(image, fitted)
            suffix = ".jpg" if settings.picture_format == "jpeg" else ".png"
        picture = image
    pixels = np.asarray(picture)
    data = encode_png(pixels) if suffix == ".png" else encode_jpeg(pixels, settings.quality)
    return StoredPicture(data, suffix)
