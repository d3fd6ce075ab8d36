"""From pixels to a file's bytes: the same bytes for the same pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import PIL

from ...schema.errors import ItemError
from .settings import DEFAULT_QUALITY

if TYPE_CHECKING:
    import numpy as np

# The format's own limit.
LONGEST_SIDE = 65_535

# Of 1 to 9, zlib's own default.
_PNG_LEVEL = 6
_WORTH_FILTERS = 0.9


def check_pixels(pixels: np.ndarray) -> None:
    """Make sure that an array is an image, uint8 [H, W, 3], not empty; raises ItemError."""
    if pixels.dtype != "uint8" or pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape) == 0:
        raise ItemError(f"an array of {pixels.dtype} {list(pixels.shape)} is not an image; expected uint8 [H, W, 3]")


def _bgr(pixels: np.ndarray) -> np.ndarray:
    import cv2
    import numpy as np

    check_pixels(pixels)
    bgr: np.ndarray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    return bgr


def encode_jpeg(pixels: np.ndarray, quality: int = DEFAULT_QUALITY) -> bytes:
    """Encode an image, uint8 [H, W, 3] in RGB, as a baseline JPEG with halved chroma (4:2:0).

    The bytes are those that Pillow writes with this quality, 1 to 100. OpenCV writes them with the same libjpeg-turbo,
    a third faster, because it does not first copy the pixels.

    Raises:
        ItemError: the array is not an image, or is too large for the format.
    """
    import cv2

    bgr = _bgr(pixels)
    if max(pixels.shape) > LONGEST_SIDE:
        raise ItemError(f"an image of {pixels.shape[1]}x{pixels.shape[0]}: a JPEG has at most {LONGEST_SIDE} a side")
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode an image, uint8 [H, W, 3] in RGB, as a PNG; raises ItemError where the array is not one.

    Without the format's row filters it is read a third faster. A scanned page is not larger without them; a photograph
    is, and is then written with filters.
    """
    import cv2

    bgr = _bgr(pixels)
    plain, filtered = (
        cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL, cv2.IMWRITE_PNG_FILTER, filters])[1]
        for filters in (cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_ALL_FILTERS)
    )
    return (filtered if len(filtered) < _WORTH_FILTERS * len(plain) else plain).tobytes()


def encoder_versions() -> dict[str, str]:
    """Return the version of each library that reads, scales or writes images, by name."""
    import cv2

    return {"opencv": cv2.__version__, "pillow": PIL.__version__}
