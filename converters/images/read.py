"""From a file's bytes to a decoded image. A damaged file is an error, where a decoder would fill in grey."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from ...schema.errors import MediaError

__all__ = ["MOST_PIXELS", "read_image", "undamaged"]

# A quarter of a gibibyte in RGB. Pillow warns whoever opens a larger image, in training too.
MOST_PIXELS = (1 << 28) // 3

# Formats that Pillow reads without another program. A JPEG may be opened as MPO.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")


def read_image(data: bytes) -> Image.Image:
    """Decode an image.

    Args:
        data: a file's bytes.

    Returns:
        Its first frame, in the mode it is stored in, not turned yet; `format` says what it was.

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
    if image.format in ("JPEG", "MPO"):
        _check_jpeg(data)
    return image


@contextmanager
def undamaged() -> Iterator[None]:
    """Report whatever Pillow raises for an image as damage.

    Raises:
        MediaError: something was raised.
    """
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


def _check_jpeg(data: bytes) -> None:
    """Make sure that a JPEG's compressed data is valid to its end.

    libjpeg passes over bad codes and fills the rest with grey; FFmpeg can be made to raise.
    """
    import av
    from av.error import InvalidDataError, PatchWelcomeError

    codec = av.CodecContext.create("mjpeg", "r")
    codec.options = {"err_detect": "explode"}
    try:
        codec.decode(av.Packet(data))
    except InvalidDataError:
        raise MediaError("the image is damaged (bad codes in its compressed data)") from None
    except PatchWelcomeError:
        # FFmpeg does not know every way to subsample colours; Pillow has read the image.
        return
