"""An image's pixels: decoded once, in grey, to know whether all of it is there and what it looks like.

JPEG is decoded by FFmpeg, which can be told to stop at bad codes where libjpeg fills the rest with grey, and which
gives the grey values without turning them into RGB first. All else, and any JPEG that FFmpeg does not take, is
Pillow's.
"""

from __future__ import annotations

import io
import warnings
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from .header import Header, HeaderError, pillow_formats

__all__ = ["Grey", "decode_grey", "has_one_colour"]

Grey: TypeAlias = npt.NDArray[np.uint8]

_END = b"\xff\xd9"
_SCAN = b"\xff\xda"


def decode_grey(data: bytes, header: Header) -> Grey:
    """Decode an image to its last byte.

    Args:
        data: the file.
        header: its header.

    Returns:
        Grey values, [height, width].

    Raises:
        HeaderError: it is cut off or damaged.
    """
    if header.format == "JPEG" and data.rfind(_END) > data.rfind(_SCAN):
        grey = _by_ffmpeg(data)
        if grey is not None and grey.shape == (header.height, header.width):
            return grey
    # What FFmpeg refuses is decoded again, if only to say what is wrong with it.
    return _by_pillow(data)


def has_one_colour(data: bytes) -> bool:
    """Tell whether all pixels of an intact image are the same."""
    with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
        return all(low == high for low, high in _extrema(image.convert("RGBA")))


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    found = image.getextrema()
    return [each for each in found if isinstance(each, tuple)]


def _by_ffmpeg(data: bytes) -> Grey | None:
    import av

    codec = av.CodecContext.create("mjpeg", "r")
    codec.options = {"err_detect": "explode"}
    codec.thread_count = 1
    try:
        frames = codec.decode(av.Packet(data))
    except av.error.FFmpegError:
        return None
    if not frames or not frames[0].format.name.startswith(("yuv", "gray")):
        return None
    frame = frames[0]
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width]


def _by_pillow(data: bytes) -> Grey:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
                # A global of Pillow's that somebody may have changed, and that would hide what is looked for.
                allowed, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
                try:
                    image.load()
                finally:
                    ImageFile.LOAD_TRUNCATED_IMAGES = allowed
                grey = _grey(image)
                intact = image.format != "JPEG" or _codes_are_good(data)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise HeaderError("damaged", "its header is broken") from None
    except Exception as error:  # decoders raise whatever they run into
        detail = " ".join(str(error).split()) or type(error).__name__
        short = "truncated" in detail or "unexpected end" in detail.lower()
        raise HeaderError("truncated" if short else "damaged", detail) from error
    if not intact:
        raise HeaderError("damaged", "bad codes in its compressed data")
    return grey


def _grey(image: Image.Image) -> Grey:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        numbers = np.asarray(image).astype(np.float64)
        low, high = float(numbers.min()), float(numbers.max())
        scaled = (numbers - low) / max(high - low, 1.0) * 255
        return scaled.astype(np.uint8)
    if image.mode == "RGB":
        return np.asarray(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGB", layer.size, (255, 255, 255))
        flat.paste(layer, mask=layer.getchannel("A"))
        return np.asarray(flat.convert("L"))
    return np.asarray(image.convert("L"))


def _codes_are_good(data: bytes) -> bool:
    """Tell whether FFmpeg takes a JPEG that Pillow took; where it does not know the kind, Pillow's word must do."""
    import av
    from av.error import InvalidDataError, PatchWelcomeError

    codec = av.CodecContext.create("mjpeg", "r")
    codec.options = {"err_detect": "explode"}
    codec.thread_count = 1
    try:
        codec.decode(av.Packet(data))
    except InvalidDataError:
        return False
    except PatchWelcomeError:
        return True
    return True
