"""What kind of file an image comes from: one that training can read as it is, and one that lost nothing so far."""

from __future__ import annotations

from typing import Any

from PIL import Image

from .rgb import orientation_of

__all__ = ["is_lossless", "is_plain"]

_LOSSLESS = {"PNG", "GIF", "BMP", "PPM"}
_LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp"}
# Bit depth 8, RGB; deflate, its one filter method, not interlaced.
_PLAIN_PNG = bytes([8, 2, 0, 0, 0])


def is_plain(image: Image.Image, data: bytes) -> bool:
    """Tell whether a decoded image may keep its bytes: 8-bit YCbCr in JPEG or RGB in PNG, upright and alone."""
    if image.mode != "RGB" or "transparency" in image.info:
        return False
    if image.format == "JPEG":
        coded = _is_ycbcr(image)
    else:
        coded = image.format == "PNG" and data[24:29] == _PLAIN_PNG and getattr(image, "n_frames", 1) == 1
    return coded and orientation_of(image) == 1


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
