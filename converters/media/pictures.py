"""Pictures as JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

__all__ = ["DEFAULT_QUALITY", "encode_jpeg"]

# What the recipe's pictures have: Pillow's own default.
DEFAULT_QUALITY = 75


def encode_jpeg(pixels: np.ndarray | Image.Image, quality: int = DEFAULT_QUALITY) -> bytes:
    """Encode a picture as a baseline JPEG with 4:2:0 chroma: the same bytes for the same pixels.

    Args:
        pixels: uint8 [H, W, 3] in RGB, or a Pillow image of any mode.
        quality: 1 to 100, on libjpeg's scale.
    """
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
