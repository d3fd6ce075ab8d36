"""Which images are read: their formats, and how large they may be."""

from __future__ import annotations

from PIL import Image

MOST_PIXELS = (1 << 28) // 3
"""From here on Pillow warns whoever opens an image, in training, too: a quarter of a gibibyte in RGB."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
"""Those that need no other program (Pillow hands PostScript to an interpreter, for instance); a JPEG may be opened as
MPO."""


def pillow_formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow reads."""
    # Until then it knows of a few formats alone, or of none.
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]
