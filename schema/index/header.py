"""An image's header, read without decoding anything.

JPEG and PNG, which nearly all images are, are read by the few lines below, several times faster than by Pillow; they
answer only where they are sure, and Pillow is asked about everything else. That both agree is held by tests.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError

from ..image_formats import MOST_PIXELS, pillow_formats
from .facts import Failure

HEAD = 1 << 12
"""Bytes in which most headers end."""

LONG_HEAD = 1 << 16
"""Bytes in which those end that hold a preview or a colour profile."""


class Header(NamedTuple):
    """What a header tells; see `ImageFacts`."""

    format: str
    width: int
    height: int
    mode: str
    bits: int = 8
    orientation: int = 1
    frames: int = 1
    transparent: bool = False


class HeaderError(Exception):
    """A header that cannot be used.

    Args:
        failure: what kind of failure it is.
        detail: in the reader's words.
    """

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure, detail)
        self.failure: Failure = failure
        self.detail = detail


def quick_header(head: bytes) -> Header | None:
    """Read the header of a JPEG or PNG from its first bytes; None where Pillow had better be asked."""
    found = _quick(head)
    return found[0] if found is not None else None


class QuickHeaders:
    """`quick_header`, which remembers: files that one program wrote begin with the same bytes more often than not."""

    def __init__(self) -> None:
        self._known: dict[bytes, Header] = {}
        self._length = 0

    def read(self, head: bytes) -> Header | None:
        """Read a header; see `quick_header`."""
        known = self._known.get(head[: self._length])
        if known is not None:
            return known
        found = _quick(head)
        if found is None:
            return None
        header, length = found
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[head[:length]] = header
        self._length = length
        return header


def _quick(head: bytes) -> tuple[Header, int] | None:
    """Read a header, and tell which byte it ends before: nothing behind that was looked at."""
    try:
        if head.startswith(_JPEG):
            return _jpeg(head)
        if head.startswith(_PNG):
            return _png(head)
    except (struct.error, IndexError):
        # The header is longer than these bytes, or broken.
        return None
    return None


def may_be_longer(head: bytes) -> bool:
    """Tell whether more bytes than `HEAD` may hold a header that `quick_header` reads."""
    return len(head) == HEAD and head.startswith((_JPEG, _PNG))


def header_of(data: bytes) -> Header:
    """Read a header from a file's bytes.

    Raises:
        HeaderError: it is not an image, or one of too many pixels.
    """
    return checked(quick_header(data) or _by_pillow(data))


def checked(header: Header) -> Header:
    """Return a header, if its image has pixels and not too many.

    Raises:
        HeaderError: it has none, or too many.
    """
    if header.width * header.height > MOST_PIXELS:
        raise HeaderError("too-many-pixels", f"{header.width}x{header.height}; at most {MOST_PIXELS}")
    if not header.width or not header.height:
        raise HeaderError("not-an-image", "no pixels")
    return header


def _by_pillow(data: bytes) -> Header:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
                bits = 16 if image.mode.startswith("I;16") else 32 if image.mode in ("I", "F") else _bits(image, data)
                return Header(
                    image.format or "",
                    image.width,
                    image.height,
                    image.mode,
                    bits,
                    exif_orientation(image),
                    2 if getattr(image, "is_animated", False) else 1,
                    image.has_transparency_data,
                )
    except UnidentifiedImageError:
        raise HeaderError("not-an-image") from None
    except Image.DecompressionBombError:
        raise HeaderError("too-many-pixels", f"at most {MOST_PIXELS}") from None
    except MemoryError:
        raise
    except Exception as error:  # readers of broken headers raise whatever they run into
        raise HeaderError("not-an-image", " ".join(str(error).split()) or type(error).__name__) from error


def _bits(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG" and len(data) > 24:
        return data[24]
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (8,))
        return int(bits[0]) if isinstance(bits, tuple) and bits else 8
    return 8


def exif_orientation(image: Image.Image) -> int:
    """Return how an image is to be turned, as EXIF numbers it; 1 is upright."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - metadata that cannot be read turns nothing, and real files are full of it
        return 1
    return found if found in range(2, 9) else 1


_REMEMBERED = 1 << 10
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {
    (8, 0): "L",
    (8, 2): "RGB",
    (8, 3): "P",
    (8, 4): "LA",
    (8, 6): "RGBA",
    (1, 0): "1",
    (16, 2): "RGB",
    (1, 3): "P",
    (2, 3): "P",
    (4, 3): "P",
    (16, 0): "I;16",
}
# Chunks that say nothing of how the image is shown. Of others (animation, EXIF, texts that may hold EXIF) Pillow knows.
_PNG_PLAIN = {b"PLTE", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"bKGD", b"sBIT", b"tIME", b"hIST", b"tRNS"}


def _png(head: bytes) -> tuple[Header, int] | None:
    length, kind, width, height, bits, colours = struct.unpack_from(">I4sIIBB", head, 8)
    mode = _PNG_MODES.get((bits, colours))
    if kind != b"IHDR" or length != 13 or mode is None or not width or not height:
        return None
    transparent = colours in (4, 6)
    offset = 33
    while True:
        length, kind = struct.unpack_from(">I4s", head, offset)
        if kind == b"IDAT":
            return Header("PNG", width, height, mode, bits, 1, 1, transparent), offset + 8
        if kind not in _PNG_PLAIN:
            return None
        transparent = transparent or kind == b"tRNS"
        offset += 12 + length


# Frames that Pillow decodes: baseline, extended and progressive.
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
# Tables, comments, and application data but for Exif (E1) and multi-image (E2), which are looked into.
_JPEG_SKIPPED = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
# Application data behind the frame may be Exif, too: that is Pillow's.
_JPEG_BEHIND_FRAME = frozenset({0xC4, 0xDB, 0xDD, 0xFE, 0xE0, *range(0xE3, 0xF0)})
_segment = struct.Struct(">BBH").unpack_from
_frame = struct.Struct(">BHHB").unpack_from


def _jpeg(head: bytes) -> tuple[Header, int] | None:
    offset, orientation = 2, 1
    while True:
        mark, marker, length = _segment(head, offset)
        if mark != 0xFF or length < 2:
            return None
        if marker in _JPEG_FRAMES:
            bits, height, width, components = _frame(head, offset + 4)
            mode = _JPEG_MODES.get(components)
            if bits != 8 or mode is None or not width or not height or length != 8 + 3 * components:
                return None
            # Pillow reads on to the first scan, and says so where there is none.
            end = _start_of_scan(head, offset + 2 + length)
            return (Header("JPEG", width, height, mode, 8, orientation), end) if end else None
        if marker not in _JPEG_SKIPPED:
            return None
        if marker in (0xE1, 0xE2):
            body = head[offset + 4 : offset + 2 + length]
            if len(body) < length - 2 or body.startswith((b"MPF", b"http")):
                return None
            if body.startswith(b"Exif\0\0"):
                found = _orientation(body[6:])
                if found is None or orientation != 1:
                    return None
                orientation = found
        offset += 2 + length


def _start_of_scan(head: bytes, offset: int) -> int:
    """Return the byte behind the beginning of the first scan; 0 where there is none."""
    while True:
        mark, marker, length = _segment(head, offset)
        if mark != 0xFF or length < 2:
            return 0
        if marker == 0xDA:
            return offset + 4
        if marker not in _JPEG_BEHIND_FRAME:
            return 0
        offset += 2 + length


def _orientation(tiff: bytes) -> int | None:
    """Find the orientation among the tags of an Exif block; None where the block is odd."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    for number in range(entries):
        tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, start + 2 + 12 * number)
        if tag == 0x0112:
            (value,) = struct.unpack_from(f"{order}H", tiff, start + 10 + 12 * number)
            return (value if value in range(2, 9) else 1) if (kind, count) == (3, 1) else None
    return 1
