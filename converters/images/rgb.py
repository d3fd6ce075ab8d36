"""Images of any kind to upright RGB of 8 bits a colour."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image, ImageChops

from ...schema.errors import MediaError

__all__ = ["orientation_of", "upright_rgb"]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WHITE = (255, 255, 255)


def orientation_of(image: Image.Image) -> int:
    """Return how a decoded image is to be turned, as EXIF numbers it; 1 is upright."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - metadata that cannot be read turns nothing, and real files are full of it
        return 1
    return orientation if orientation in _TURNS else 1


def upright_rgb(image: Image.Image) -> Image.Image:
    """Bring a decoded image to RGB, and turn it as its EXIF data asks.

    Raises:
        MediaError: its numbers have no meaning as 8-bit RGB.
    """
    turn = _TURNS.get(orientation_of(image))
    plain = _rgb(image)
    return plain if turn is None else plain.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise MediaError("an image of floating-point numbers has no meaning in RGB; convert it to 8 or 16 bits first")
    if image.mode.startswith("I"):
        image = _upper_bits(image)
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every such JPEG for Adobe's, who store no ink as 255.
        image = ImageChops.invert(image)
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    numbers = np.asarray(image)
    if numbers.min() < 0 or numbers.max() > 0xFFFF:
        raise MediaError("an image of numbers beyond 16 bits; convert it to 8 or 16 bits first")
    return Image.fromarray((numbers >> 8).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    flat = Image.new("RGB", layer.size, _WHITE)
    flat.paste(layer, mask=layer.getchannel("A"))
    return flat
