"""Images of every kind, made here: each format and mode that a source may bring, as a file's bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


class Maker:
    """Makes pixels and files of them."""

    def pixels(self, height: int = 24, width: int = 32, colours: int = 3) -> np.ndarray:
        """Smooth colours with some noise: JPEG keeps them recognisable, and every pixel is its own."""
        rows, columns = np.mgrid[0:height, 0:width]
        ramps = [rows * 160 // height, columns * 160 // width, (rows + columns) * 80 // (height + width)]
        noise = np.random.default_rng(0).integers(0, 16, (height, width, colours))
        return (np.stack((ramps * 2)[:colours], -1) + 40 + noise).astype(np.uint8)

    def image(self, height: int = 24, width: int = 32, mode: str = "RGB") -> Image.Image:
        return Image.fromarray(self.pixels(height, width)).convert(mode)

    def file(self, image: Image.Image, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    def opened(self, data: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
