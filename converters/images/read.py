"""From a file's bytes to a decoded image. A damaged file is an error, where a decoder would fill in grey."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from ...schema.errors import MediaError
from ...schema.jpeg import jpeg_damage

# A quarter of a gibibyte in RGB. Pillow warns whoever opens a larger image, in training too.
MOST_PIXELS = (1 << 28) // 3

# Formats that Pillow reads without another program. A JPEG may be opened as MPO.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")


def read_image(data: bytes) -> Image.Image:
    """Decode the first frame of an image's file, in the mode it is stored in, not turned; `format` says what it was.

    Raises:
        MediaError: it is of no known format, damaged, or has more than `MOST_PIXELS` by its header.
    """
    Image.init()
    with undamaged():
        image = Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
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
            known = ", ".join(name for name in _FORMATS if name in Image.OPEN)
            raise MediaError(f"no image of a known format ({known}), or its header is damaged") from None
        except Image.DecompressionBombError:
            raise MediaError(f"an image of more than {MOST_PIXELS} pixels, which are not decoded") from None
        except Exception as error:  # decoders raise whatever they run into
            text = " ".join(str(error).split()) or type(error).__name__
            raise MediaError(f"the image is damaged ({text})") from error
