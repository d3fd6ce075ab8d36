"""Pictures as JPEG."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from ...schema.errors import ItemError, MediaError

__all__ = ["DEFAULT_QUALITY", "encode_jpeg", "encoder_versions"]

# Pillow's own default, and so what the recipe's pictures have. A frame of UCF-101 takes 8 kB with it, 13 kB with 90.
DEFAULT_QUALITY = 75

# The format's own limit.
LONGEST_SIDE = 65_535


def encode_jpeg(pixels: np.ndarray | Image.Image, quality: int = DEFAULT_QUALITY) -> bytes:
    """Encode a picture as a baseline JPEG with halved chroma (4:2:0): the same bytes for the same pixels.

    The bytes are those that Pillow writes with this quality. OpenCV writes them with the same libjpeg-turbo, a third
    faster, for it does not copy the pixels into a form of its own first.

    Args:
        pixels: uint8 [H, W, 3] in RGB; or a Pillow image of any mode, which is turned as its EXIF data asks and
            loses its transparency.
        quality: 1 to 100, on libjpeg's scale.

    Raises:
        MediaError: the image's file is damaged, which Pillow finds out only now.
        ItemError: the array is no picture, or is too large for the format.
    """
    import cv2

    if isinstance(pixels, Image.Image):
        pixels = _decoded(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ItemError(f"an array of {pixels.dtype} {list(pixels.shape)} is no picture: expected uint8 [H, W, 3]")
    if min(pixels.shape) == 0 or max(pixels.shape) > LONGEST_SIDE:
        raise ItemError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]}: a JPEG has 1 to {LONGEST_SIDE} a side")
    bgr = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _decoded(image: Image.Image) -> np.ndarray:
    try:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise MediaError(f"the picture is damaged ({error})") from error


def encoder_versions() -> dict[str, str]:
    """Return the version of the library that writes pictures, by name."""
    import cv2

    return {"opencv": cv2.__version__}
