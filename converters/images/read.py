"""From a file's bytes to a decoded image, and from that to plain RGB: 8 bits, upright, alone.

A damaged file is an error, where a decoder would fill in grey.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError

from ...schema.errors import MediaError
from ...schema.image_formats import MOST_PIXELS, pillow_formats
from ...schema.jpeg import jpeg_damage

_LOSSLESS = {"PNG", "GIF", "BMP", "PPM"}
_LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp"}
# Bit depth 8, RGB; deflate, its one filter method, not interlaced.
_PLAIN_PNG = bytes([8, 2, 0, 0, 0])
# By EXIF's number; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(data: bytes) -> Image.Image:
    """Decode the first frame of an image's file, in the mode it is stored in, not turned; `format` says what it was.

    Raises:
        MediaError: it is of no known format, damaged, or has more than `MOST_PIXELS` by its header.
    """
    with undamaged():
        image = Image.open(io.BytesIO(data), formats=pillow_formats())
        if image.width * image.height > MOST_PIXELS:
            raise MediaError(
                f"an image of {image.width}x{image.height} pixels; at most {MOST_PIXELS} are decoded: scale it down"
            )
        image.load()
    damage = jpeg_damage(data) if image.format in ("JPEG", "MPO") else ""
    if damage:
        raise MediaError(f"the image is damaged ({damage})")
    return image


@contextmanager
def undamaged() -> Iterator[None]:
    """Report whatever Pillow raises for an image as damage, by MediaError."""
    with warnings.catch_warnings():
        # Warnings are about odd metadata, mostly, and about sizes that are checked here.
        warnings.simplefilter("ignore")
        try:
            yield
        except (MediaError, MemoryError):
            raise
        except UnidentifiedImageError:
            known = ", ".join(pillow_formats())
            raise MediaError(f"no image of a known format ({known}), or its header is damaged") from None
        except Image.DecompressionBombError:
            raise MediaError(f"an image of more than {MOST_PIXELS} pixels, which are not decoded") from None
        except Exception as error:  # decoders raise whatever they run into
            text = " ".join(str(error).split()) or type(error).__name__
            raise MediaError(f"the image is damaged ({text})") from error


def is_plain(image: Image.Image, data: bytes) -> bool:
    """Tell whether a decoded image may keep its bytes: 8-bit YCbCr in JPEG or RGB in PNG, upright and alone."""
    if image.mode != "RGB" or "transparency" in image.info:
        return False
    is_plain_png = image.format == "PNG" and data[24:29] == _PLAIN_PNG and getattr(image, "n_frames", 1) == 1
    return (_is_ycbcr(image) if image.format == "JPEG" else is_plain_png) and _turn_of(image) is None


def _is_ycbcr(image: Any) -> bool:
    """Tell whether a JPEG of three colours holds YCbCr, by libjpeg's own rule; some hold RGB."""
    if "jfif" in image.info:
        return True
    if "adobe" in image.info:
        return bool(image.info.get("adobe_transform"))
    return [component[0] for component in image.layer] != list(b"RGB")


def is_lossless(image: Image.Image, data: bytes) -> bool:
    """Tell whether an image's file keeps every pixel as it was put in."""
    if image.format == "WEBP":
        return _has_lossless_chunk(data)
    if image.format == "TIFF":
        return image.info.get("compression") not in _LOSSY_TIFF
    return image.format in _LOSSLESS


def _has_lossless_chunk(data: bytes) -> bool:
    """Tell whether a WebP's image is in a chunk VP8L; those of metadata lie before it, animations are in others."""
    offset = 12
    while offset + 8 <= len(data):
        if data[offset : offset + 4] == b"VP8L":
            return True
        size = int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8 + size + size % 2
    return False


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return how a decoded image is to be turned, by its EXIF data."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - metadata that cannot be read turns nothing, and real files are full of it
        return None


def upright_rgb(image: Image.Image) -> Image.Image:
    """Bring a decoded image to RGB, and turn it as its EXIF data asks; MediaError where its numbers mean no colours."""
    turn, plain = _turn_of(image), _rgb(image)
    return plain if turn is None else plain.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise MediaError("an image of floating-point numbers has no meaning in RGB; convert it to 8 or 16 bits first")
    if image.mode.startswith("I"):
        numbers = np.asarray(image)
        if numbers.min() < 0 or numbers.max() > 0xFFFF:
            raise MediaError("an image of numbers beyond 16 bits; convert it to 8 or 16 bits first")
        image = Image.fromarray((numbers >> 8).astype(np.uint8))
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every such JPEG for Adobe's, who store no ink as 255.
        image = ImageChops.invert(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    flat = Image.new("RGB", layer.size, "white")
    flat.paste(layer, mask=layer.getchannel("A"))
    return flat
