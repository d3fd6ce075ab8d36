"""Frames through decord.

decord goes to the key frames that the container names, and repeats a neighbouring picture in the place of one that it
cannot decode. It is let go to them where they are those of the stream, and decodes in order elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ...schema.errors import MediaError, MissingDependencyError
from .agreement import agreed_frames
from .frame import Choose, Frame
from .naming import shown_name, text_name
from .pyav_frames import Decoded, decode
from .upright import as_stored

if TYPE_CHECKING:
    import decord

__all__ = ["import_decord", "read"]

# Seconds by which decord's time of a frame, a float32, may differ from PyAV's.
SAME_TIME = 1e-3


def read(path: Path, choose: Choose) -> list[Frame]:
    """Read the frames that `choose` names.

    Raises:
        MediaError: the clip is damaged, cut short, no video, or decord does not decode it as PyAV does.
        MissingDependencyError: decord is not installed.
    """
    decord = import_decord()
    decoded = decode(path, choose)
    try:
        reader = decord.VideoReader(text_name(path, "decord"), ctx=decord.cpu(0), num_threads=1)
        # decord turns its pictures by itself.
        display = decoded.display()
        pictures = [as_stored(picture, display) for picture in _pictures(reader, decoded)]
    except decord.DECORDError as error:
        # Its message holds the time of day and the path, which would make every run's quarantine another.
        raise MediaError(f"{shown_name(path)}: decord does not decode it; choose pyav") from error
    return agreed_frames(path, "decord", decoded, pictures)


def import_decord() -> ModuleType:
    """Import decord, silenced.

    Raises:
        MissingDependencyError: it is not installed.
    """
    # Read by decord at each repetition of a picture: its warnings are not for the terminal.
    os.environ.setdefault("DECORD_DUPLICATE_WARNING_THRESHOLD", "1.0")
    try:
        import decord
    except ModuleNotFoundError:
        raise MissingDependencyError("decord", "the decoder decord", "decord") from None
    decord.logging.set_level(decord.logging.QUIET)
    return decord  # type: ignore[no-any-return]  # it publishes no types


def _pictures(reader: decord.VideoReader, decoded: Decoded) -> Iterator[np.ndarray]:
    wanted = list(decoded.pictures)
    if _may_jump(reader, decoded):
        yield from reader.get_batch(wanted).asnumpy()
        return
    for number in range(min(wanted[-1] + 1, len(reader))):
        picture = reader.next()
        if number in decoded.pictures:
            yield picture.asnumpy()


def _may_jump(reader: decord.VideoReader, decoded: Decoded) -> bool:
    table = decoded.table
    if not decoded.proved or len(reader) != len(table.times) or reader.get_key_indices() != list(table.keys):
        return False
    times = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    return bool(np.all(np.abs(times - times[0] - table.times) < SAME_TIME))
