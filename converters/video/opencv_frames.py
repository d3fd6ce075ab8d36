"""Frames through OpenCV, which decodes a clip in order.

OpenCV 5.0 gives whatever was in memory for interlaced pictures, and goes on after one it cannot decode; both are
refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .agreement import agreed_frames
from .frame import Choose, Frame
from .naming import text_name
from .pyav_frames import decode

__all__ = ["read"]


def read(path: Path, choose: Choose) -> list[Frame]:
    """Read the frames that `choose` names.

    Raises:
        MediaError: the clip is damaged, cut short, no video, or OpenCV does not decode it as PyAV does.
    """
    decoded = decode(path, choose)
    return agreed_frames(path, "OpenCV", decoded, _pictures(path, list(decoded.pictures)))


def _pictures(path: Path, wanted: list[int]) -> Iterator[np.ndarray]:
    # Read by OpenCV when it first opens a clip: what FFmpeg remarks on one is not for the terminal.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    clip = cv2.VideoCapture(text_name(path, "OpenCV"), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    clip.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    number = -1
    try:
        for target in wanted:
            while number < target:
                if not clip.grab():
                    return
                number += 1
            is_there, picture = clip.retrieve()
            if not is_there:
                return
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    finally:
        clip.release()
