"""Thumbnails of a chunk of records, side by side in one image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO

from PIL import Image

CELL = (160, 120)
"""Width and height in pixels that a thumbnail fits into."""
SPRITE = 64
"""Thumbnails in a sprite, eight a row."""
_ROW = 8
_QUALITY = 72


def thumbnail(stream: IO[bytes]) -> Image.Image:
    """Decode an image as small as a thumbnail needs it.

    Raises:
        OSError, ValueError, RuntimeError, Image.DecompressionBombError: it cannot be decoded.
    """
    with Image.open(stream) as image:
        # JPEG decodes at a half, a quarter or an eighth for a fraction of the cost.
        image.draft("RGB", (CELL[0] * 2, CELL[1] * 2))
        # Palettes and bits cannot be averaged.
        small: Image.Image = image.convert("RGB") if image.mode in ("P", "1") else image
        small.thumbnail(CELL, Image.Resampling.BILINEAR, reducing_gap=2.0)
        return small.convert("RGB")


def as_png(small: Image.Image) -> bytes:
    """Encode a thumbnail without loss."""
    buffer = io.BytesIO()
    small.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def sprite(thumbnails: Sequence[Image.Image | None]) -> bytes:
    """Lay thumbnails out, each centred in its cell, on transparency; None leaves a cell empty.

    Returns:
        WebP.
    """
    rows = -(-len(thumbnails) // _ROW)
    sheet = Image.new("RGBA", (_ROW * CELL[0], max(1, rows) * CELL[1]), (0, 0, 0, 0))
    for number, small in enumerate(thumbnails):
        if small is not None:
            left = (number % _ROW) * CELL[0] + (CELL[0] - small.width) // 2
            top = (number // _ROW) * CELL[1] + (CELL[1] - small.height) // 2
            sheet.paste(small, (left, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=_QUALITY, method=0)
    return buffer.getvalue()
