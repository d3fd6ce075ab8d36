"""An image's pixels: decoded once, in grey, to know whether all of it is there and what it looks like.

JPEG is decoded by libjpeg-turbo, which gives the grey values without making colours first, and smaller where that is
enough. All else, and any JPEG that it gives a warning about, is Pillow's.
"""

from __future__ import annotations

import io
import warnings
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from ..image_formats import pillow_formats
from ..jpeg import jpeg_damage, jpeg_grey
from .header import Header, HeaderError

Grey: TypeAlias = npt.NDArray[np.uint8]


def decode_grey(data: bytes, header: Header, least_side: int = 0) -> Grey:
    """Decode an image to its last byte.

    Args:
        data: the file.
        header: its header.
        least_side: 0 for its own size; otherwise a JPEG may be smaller, with so many pixels on each side.

    Returns:
        Grey values, [height, width].

    Raises:
        HeaderError: it is cut off or damaged.
    """
    if header.format == "JPEG" and header.mode in ("L", "RGB"):
        grey = jpeg_grey(data, least_side)
        if grey is not None:
            return grey
    # What libjpeg-turbo warns about is decoded again, if only to say what is wrong with it.
    return _by_pillow(data)


def has_one_colour(data: bytes) -> bool:
    """Tell whether all pixels of an intact image are the same."""
    with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
        return all(low == high for low, high in _extrema(image.convert("RGBA")))


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    found = image.getextrema()
    return [each for each in found if isinstance(each, tuple)]


def _by_pillow(data: bytes) -> Grey:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
                # A global of Pillow's that somebody may have changed, and that would hide what is looked for.
                allowed, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
                try:
                    image.load()
                finally:
                    ImageFile.LOAD_TRUNCATED_IMAGES = allowed
                grey = _grey(image)
                damage = jpeg_damage(data) if image.format == "JPEG" else ""
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise HeaderError("damaged", "its header is broken") from None
    except Exception as error:  # decoders raise whatever they run into
        detail = " ".join(str(error).split()) or type(error).__name__
        short = "truncated" in detail or "unexpected end" in detail.lower()
        raise HeaderError("truncated" if short else "damaged", detail) from error
    if damage:
        raise HeaderError("damaged", damage)
    return grey


def _grey(image: Image.Image) -> Grey:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        numbers = np.asarray(image).astype(np.float64)
        low, high = float(numbers.min()), float(numbers.max())
        scaled = (numbers - low) / max(high - low, 1.0) * 255
        return scaled.astype(np.uint8)
    if image.mode == "RGB":
        return np.asarray(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGB", layer.size, (255, 255, 255))
        flat.paste(layer, mask=layer.getchannel("A"))
        return np.asarray(flat.convert("L"))
    return np.asarray(image.convert("L"))
