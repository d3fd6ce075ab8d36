"""Frames by another library than PyAV, each compared with PyAV's.

No other library says reliably how many frames a clip has, at what times, whether one is damaged, or which one it gives.
PyAV therefore finds the frames, decodes them as well, and a picture that differs from its own is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...schema.errors import MediaError
from .frame import Frame
from .naming import shown_name
from .pyav_frames import Decoded
from .upright import upright

__all__ = ["agreed_frames"]

# Mean difference of two decoders' values of one picture, in levels of 255. Those tried differ by 0, and by up to 1.5
# where fields are interlaced; in a clip that moves, neighbouring frames differ by more than this.
SAME_PICTURE = 4.0


def agreed_frames(path: Path, library: str, decoded: Decoded, given: Iterable[np.ndarray]) -> list[Frame]:
    """Make frames of a library's pictures.

    Args:
        path: the clip.
        library: who gives the pictures.
        decoded: the frames wanted, as PyAV decodes them.
        given: as stored in the clip, uint8 [H, W, 3] RGB, one for each frame wanted.

    Raises:
        MediaError: the library decodes the clip in another way.
    """
    frames: list[Frame] = []
    display = decoded.display()
    for (number, expected), pixels in zip(decoded.stored_pixels(), given, strict=False):
        if pixels.shape != expected.shape or np.abs(pixels.astype(np.int16) - expected).mean() > SAME_PICTURE:
            break
        frames.append(Frame(number, decoded.table.times[number], upright(pixels, display)))
    for number in list(decoded.pictures)[len(frames) :]:
        raise MediaError(f"{shown_name(path)}: {library} does not give frame {number} as PyAV does; choose pyav")
    return frames
