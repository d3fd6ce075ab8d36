"""Frames through PyAV: bit for bit those of decoding the clip in order, skipping what they do not need where it can."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ...schema.errors import MediaError
from .container import HELD, open_clip
from .packet_headers import NotSkippable
from .sampling import Choose, ClipTable
from .skipping import decode_wanted, index_packets
from .upright import Display, read_display

# Frames a second of a clip that says nothing about time at all.
NO_RATE = Fraction(25)


class Decoded(NamedTuple):
    """The frames that were wanted of a clip, by their number, in presentation order, and what is known of the clip.

    `pixel_aspect` is the width of a stored pixel over its height, where the clip says; `skipped`, whether only what the
    wanted frames need was decoded.
    """

    table: ClipTable
    frames: dict[int, av.VideoFrame]
    pixel_aspect: Fraction | None
    skipped: bool

    def display(self) -> Display:
        """Return how the frames are to be displayed."""
        matrix = next(iter(self.frames.values())).side_data.get("DISPLAYMATRIX")
        return read_display(bytes(matrix) if matrix else None, self.pixel_aspect)

    def stored_pixels(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give each frame's number, and its pixels as stored, uint8 [H, W, 3] RGB."""
        convert = VideoReformatter()  # one for all: it keeps its tables from frame to frame
        for number, frame in self.frames.items():
            yield number, convert.reformat(frame, format="rgb24", threads=1).to_ndarray()


def decode(path: Path, choose: Choose) -> Decoded:
    """Decode the frames that `choose` names; raises MediaError where the clip is damaged, cut short, or not a video."""
    with suppress(NotSkippable), open_clip(path) as clip:
        index = index_packets(clip)
        keys = [frame for frame, packet in enumerate(index.packets) if index.headers[packet].is_access_point]
        table = ClipTable(_times(index.pts, clip.stream), keys)
        frames = decode_wanted(clip, index, choose(table))
        return Decoded(table, frames, clip.stream.sample_aspect_ratio, skipped=True)
    first = _decode_in_order(path, keep=None)
    wanted = choose(first.table)
    # A clip too long to keep whole is decoded again, now that it is known what to keep.
    found = first if first.frames.keys() >= set(wanted) else _decode_in_order(path, keep=wanted)
    return first._replace(frames={number: found.frames[number] for number in wanted})


def _decode_in_order(path: Path, keep: Collection[int] | None) -> Decoded:
    """Decode a clip in order; without frames to keep, the first ones are kept, as far as the memory for them goes."""
    pts: list[int | None] = []
    keys: list[int] = []
    frames: dict[int, av.VideoFrame] = {}
    size = 0
    with open_clip(path) as clip:
        stream = clip.stream
        for number, frame in enumerate(clip.decode()):
            if frame.is_corrupt:
                raise MediaError(f"{clip.name}: damaged, frame {number} cannot be decoded whole")
            pts.append(frame.pts)
            if frame.key_frame:
                keys.append(number)
            size += sum(plane.buffer_size for plane in frame.planes)
            if size <= HELD if keep is None else number in keep:
                frames[number] = frame
        if not pts:
            raise MediaError(f"{clip.name}: holds no frame that can be decoded")
        return Decoded(ClipTable(_times(pts, stream), keys), frames, stream.sample_aspect_ratio, skipped=False)


def _times(pts: Sequence[int | None], stream: av.VideoStream) -> list[float]:
    """Return each frame's seconds from the first, by its number where the PTS of the container do not rise."""
    known = [time for time in pts if time is not None]
    if len(known) == len(pts) and all(one < other for one, other in pairwise(known)):
        return [(time - known[0]) * stream.time_base.numerator / stream.time_base.denominator for time in known]
    rate = stream.average_rate or stream.guessed_rate or NO_RATE
    return [number * rate.denominator / rate.numerator for number in range(len(pts))]
