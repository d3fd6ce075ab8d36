"""Pictures as JPEG."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...schema.errors import ItemError, MediaError
from .picture_settings import DEFAULT_QUALITY, PictureSettings

__all__ = ["DEFAULT_QUALITY", "StoredPicture", "encode_jpeg", "encoded_pixels", "encoder_versions", "stored_picture"]

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


class StoredPicture(NamedTuple):
    """A picture as it is stored: the bytes of its file, and the suffix they ask for (`.jpg` or `.png`)."""

    data: bytes
    suffix: str


def stored_picture(data: bytes, settings: PictureSettings) -> StoredPicture:
    """Bring an encoded picture to the form in which it is stored.

    Raises:
        MediaError: the bytes are no picture, or damaged.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError:
        raise MediaError("no picture that is known here") from None
    except (OSError, SyntaxError) as error:
        raise MediaError(f"the picture is damaged ({error})") from error
    if image.mode == "RGB" and image.format in ("JPEG", "PNG") and image.getexif().get(274, 1) == 1:
        return StoredPicture(data, ".jpg" if image.format == "JPEG" else ".png")
    suffix = ".png" if image.format == "PNG" else ".jpg"
    return StoredPicture(encoded_pixels(image, suffix, settings), suffix)


def encoded_pixels(picture: np.ndarray | Image.Image, suffix: str, settings: PictureSettings) -> bytes:
    """Encode pixels as the suffix asks."""
    if suffix != ".png":
        return encode_jpeg(picture, settings.quality)
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, "PNG")
    return buffer.getvalue()
