"""JPEG by libjpeg-turbo: its grey values, and what is wrong with its compressed data.

libjpeg fills what it cannot decode with grey and gives a warning, which most programs drop, Pillow among them;
`simplejpeg` hands it on.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

# How the warnings begin that are about compressed data; others are about odd metadata.
_DAMAGE = ("Corrupt JPEG data: ", "Premature end of JPEG file")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END = b"\xff\xd9"


def jpeg_grey(data: bytes, least_side: int = 0) -> npt.NDArray[np.uint8] | None:
    """Decode a JPEG of grey or colour to its last byte; colours are not even made.

    Args:
        data: the file.
        least_side: 0 for its own size; otherwise it comes out at an eighth of it, at a quarter, three eighths or half,
            where both sides have at least so many pixels then. Less is computed, and as much is read.

    Returns:
        Grey values, [height, width]; None where it gives a warning, or is of a kind that libjpeg-turbo does not know.
    """
    from simplejpeg import decode_jpeg

    smaller = {"min_height": least_side, "min_width": least_side, "min_factor": 2} if least_side else {}
    try:
        grey: npt.NDArray[np.uint8] = decode_jpeg(data, "GRAY", **smaller)[:, :, 0]
    except ValueError:
        return None
    return grey


def jpeg_damage(data: bytes) -> str:
    """Return what is wrong with the compressed data of a JPEG; "" for nothing, and for kinds that are not known."""
    warning = _refusal(data, strict=True)
    if warning:
        # An error that ends the decoding says more than a warning before it.
        warning = _refusal(data, strict=False) or warning
    if not warning.startswith(_DAMAGE) or _is_padding(data, warning):
        return ""
    return warning.removeprefix(_DAMAGE[0])


def _refusal(data: bytes, *, strict: bool) -> str:
    """Return why a JPEG is not decoded, where strict by its first warning; "" where it is."""
    from simplejpeg import decode_jpeg, decode_jpeg_header

    try:
        is_cmyk = decode_jpeg_header(data, strict=False)[2] in ("CMYK", "YCCK")
        decode_jpeg(data, "CMYK" if is_cmyk else "GRAY", strict=strict)
    except ValueError as error:
        return str(error)
    return ""


def _is_padding(data: bytes, warning: str) -> bool:
    """Tell whether a warning is about bytes that some encoders put before the end, and that say nothing."""
    found = _EXTRANEOUS.search(warning)
    if found is None:
        return False
    end = data.rfind(_END)
    return not data[end - int(found[1]) : end].strip(b"\0\xff")
