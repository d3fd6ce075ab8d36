"""Frames through decord or OpenCV, for people who have to match what another tool decoded; PyAV is the fast one.

Neither says reliably how many frames a clip has, at what times, whether one is damaged, or which one it gives: decord
repeats a neighbour of a frame that it cannot decode, OpenCV 5.0 gives whatever was in memory for interlaced frames.
PyAV therefore finds the frames, decodes them as well, and a frame that differs from its own is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from ...schema.errors import MediaError, MissingDependencyError
from .container import shown_name
from .pyav_frames import Decoded
from .upright import Display, as_stored

# Mean difference of two decoders' values of one frame, in levels of 255. Those tried differ by 0, and by up to 1.5
# where fields are interlaced; in a clip that moves, neighbouring frames differ by more than this.
SAME_FRAME = 4.0


def decode_again(path: Path, library: str, decoded: Decoded) -> Iterator[tuple[int, np.ndarray]]:
    """Give the frames that PyAV has decoded as the library decodes them: numbers, and pixels as stored.

    Raises:
        MediaError: the library does not decode the clip as PyAV does.
        MissingDependencyError: the library is not installed.
    """
    if any("\ud800" <= character <= "\udfff" for character in str(path.absolute())):  # OpenCV 5.0 would crash over it
        raise MediaError(f"{shown_name(path)}: {library} does not open files whose names are not text; choose pyav")
    given = IN_ORDER[library](path, list(decoded.frames), decoded.display())
    for number, expected in decoded.stored_pixels():
        pixels = next(given, np.empty(0))
        if pixels.shape != expected.shape or np.abs(pixels.astype(np.int16) - expected).mean() > SAME_FRAME:
            raise MediaError(f"{shown_name(path)}: {library} does not give frame {number} as PyAV does; choose pyav")
        yield number, pixels


def import_decord() -> ModuleType:
    """Import decord, silenced; raises MissingDependencyError."""
    # Read by decord whenever it repeats a frame: its warnings are not for the terminal.
    os.environ.setdefault("DECORD_DUPLICATE_WARNING_THRESHOLD", "1.0")
    try:
        import decord
    except ModuleNotFoundError:
        raise MissingDependencyError("decord", "the decoder decord", "decord") from None
    decord.logging.set_level(decord.logging.QUIET)
    return decord  # type: ignore[no-any-return]  # it publishes no types


def _decord(path: Path, wanted: list[int], display: Display) -> Iterator[np.ndarray]:
    decord = import_decord()
    try:
        reader = decord.VideoReader(str(path.absolute()), ctx=decord.cpu(0), num_threads=1)
        for number in range(min(wanted[-1] + 1, len(reader))):
            frame = reader.next()
            if number in wanted:
                yield as_stored(frame.asnumpy(), display)  # decord turns frames by itself
    except decord.DECORDError as error:
        # Its message holds the time of day and the path, which would make every run's quarantine another.
        raise MediaError(f"{shown_name(path)}: decord does not decode it; choose pyav") from error


def _opencv(path: Path, wanted: list[int], display: Display) -> Iterator[np.ndarray]:
    # Read by OpenCV when it first opens a clip: what FFmpeg logs about one is not for the terminal.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    clip = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    clip.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    for number in range(wanted[-1] + 1):
        if not clip.grab():
            return
        if number in wanted:
            is_there, frame = clip.retrieve()
            if not is_there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


# Each decodes the clip in order and gives the wanted frames as stored, uint8 [H, W, 3] RGB.
IN_ORDER = {"decord": _decord, "opencv": _opencv}
