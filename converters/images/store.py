"""The form in which an image is stored, by the package's rule: the same bytes for the same pixels."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import PIL
from PIL import Image

from ...schema.errors import ItemError
from ...schema.vision_tokens import crop_grid
from . import DEFAULT_QUALITY, ImageSettings
from .read import is_lossless, is_plain, read_image, undamaged, upright_rgb

Size: TypeAlias = tuple[int, int]

_SUFFIXES = {"png": ".png", "jpeg": ".jpg"}

# The format's own limit.
LONGEST_SIDE = 65_535

# Of 1 to 9, zlib's own default.
_PNG_LEVEL = 6
_WORTH_FILTERS = 0.9


class StoredImage(NamedTuple):
    """An image as it is stored: the bytes of its file, and the suffix that belongs to them (`.jpg` or `.png`)."""

    data: bytes
    suffix: str


def stored_image(data: bytes, settings: ImageSettings) -> StoredImage:
    """Bring an encoded image, a file's bytes, to the form in which it is stored.

    Raises:
        MediaError: it is of no known format, damaged, too large, or has no meaning in RGB.
        ItemError: it is too long for a JPEG.
    """
    image = read_image(data)
    suffix = ".png" if is_lossless(image, data) else ".jpg"
    if is_plain(image, data) and settings.image_format in ("keep", str(image.format).lower()):
        size = bounded_size(image.size, settings)
        if size == image.size and fitted_size(size, settings.fit_crops) is None:
            return StoredImage(data, suffix)
    with undamaged():
        image = upright_rgb(image)
    return _encoded(image, suffix, settings)


def stored_pixels(image: np.ndarray | Image.Image, suffix: str, settings: ImageSettings) -> StoredImage:
    """Bring decoded pixels, uint8 [H, W, 3] RGB or any Pillow image, to the form in which they are stored.

    The suffix, `.jpg` or `.png`, is the one meant where the settings say nothing else.

    Raises:
        MediaError: an image's file is damaged, or has no meaning in RGB.
        ItemError: the array is not an image, or is too long for a JPEG.
    """
    if isinstance(image, Image.Image):
        with undamaged():
            image.load()
            image = upright_rgb(image)
    else:
        check_pixels(image)
    return _encoded(image, suffix, settings)


def _encoded(pixels: np.ndarray | Image.Image, suffix: str, settings: ImageSettings) -> StoredImage:
    suffix = _SUFFIXES.get(settings.image_format, suffix)
    if settings.max_pixels or settings.max_side or settings.fit_crops:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        bounded = bounded_size(image.size, settings)
        if bounded != image.size:
            image = image.resize(bounded, Image.Resampling.LANCZOS)
        if fitted := fitted_size(bounded, settings.fit_crops):
            image = _resized(image, fitted)
            suffix = ".jpg" if settings.image_format == "jpeg" else ".png"
        pixels = image
    pixels = np.asarray(pixels)
    data = encode_png(pixels) if suffix == ".png" else encode_jpeg(pixels, settings.quality)
    return StoredImage(data, suffix)


def bounded_size(size: Size, settings: ImageSettings) -> Size:
    """Return the largest size within --max-pixels and --max-side that has an image's shape, never larger than it."""
    width, height = size
    by_pixels = math.sqrt(settings.max_pixels / (width * height)) if settings.max_pixels else 1.0
    scale = min(1.0, by_pixels, settings.max_side / max(size) if settings.max_side else 1.0)
    return size if scale == 1.0 else (max(1, int(width * scale)), max(1, int(height * scale)))


def fitted_size(size: Size, crops: int | None) -> Size | None:
    """Return the size at which the model sees an image, cut into so many sub-crops at most.

    None where that is not smaller, and where the model would cut an image of that size in another way: the published
    arithmetic rounds, and what it makes of its own result may be a pixel less.
    """
    if crops is None:
        return None
    grid = crop_grid(*size, crops)
    fitted = grid.content_width, grid.content_height
    return fitted if math.prod(fitted) < math.prod(size) and crop_grid(*fitted, crops) == grid else None


def _resized(image: Image.Image, size: Size) -> Image.Image:
    """Scale an image as the model's image processing does: bilinear, a portrait as its transpose."""
    if image.width < image.height:
        turned = _resized(image.transpose(Image.Transpose.TRANSPOSE), size[::-1])
        return turned.transpose(Image.Transpose.TRANSPOSE)
    return image.resize(size, Image.Resampling.BILINEAR)


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
    a third faster, because it does not first copy the pixels. ItemError where the array is not an image, or too large.
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
