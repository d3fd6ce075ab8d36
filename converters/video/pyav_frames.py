"""Frames through PyAV: bit for bit those of decoding the clip in order, skipping what they do not need where it can.

Two things are not decoded: what lies before the random access point of a frame, and frames that no other frame refers
to. What is decoded then comes out as in a decode of the whole clip, provided that

- the headers say that every packet holds one frame, and which of them are access points and references;
- presentation order by the headers and by the PTS of the container is the same;
- the decoder outputs, at run time, the frames that were decoded, in this order, and reports no damage.

Where one of these does not hold, the clip is decoded in order. Less does not do: by flags and PTS alone, with
libavcodec told to skip what is not a reference (`skip_frame`), frames that are not coded, open GOPs and lost packets
give other frames, unnoticed; so do lost packets where order is by libavcodec's filter `dts2pts`, which does not compare
frame numbers. The key frame flags of the container are wrong in real files.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ...schema.errors import MediaError
from .container import HELD, Clip, open_clip
from .packet_headers import HEADER_READERS, NotSkippable, PacketHeader, require
from .sampling import Choose, ClipTable
from .upright import Display, read_display

# Frames a second of a clip that says nothing about time at all.
NO_RATE = Fraction(25)


class Decoded(NamedTuple):
    """The frames that were wanted of a clip, and what is known of the clip."""

    table: ClipTable
    frames: dict[int, av.VideoFrame]  # by their number, in presentation order
    pixel_aspect: Fraction | None  # width of a stored pixel over its height, where the clip says
    skipped: bool  # whether only what the wanted frames need was decoded

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
        ticks, seconds = stream.time_base.denominator, stream.time_base.numerator
        return [(time - known[0]) * seconds / ticks for time in known]
    rate = stream.average_rate or stream.guessed_rate or NO_RATE
    return [number * rate.denominator / rate.numerator for number in range(len(pts))]


class PacketIndex(NamedTuple):
    """A clip whose frames can be decoded without all that comes before."""

    headers: Sequence[PacketHeader]  # one a packet, in decoding order
    packets: Sequence[int]  # the number of each frame's packet, in presentation order
    pts: Sequence[int]  # the PTS of each frame, rising

    def needed_packets(self, frames: Iterable[int]) -> set[int]:
        """Return the packets to decode for some frames: never more than decoding in order to the last one takes.

        The first packet is always among them: encoders leave notes in it that decoders remember.
        """
        access_points = [number for number, header in enumerate(self.headers) if header.is_access_point]
        needed = {0}
        reached = 0
        for target in sorted(self.packets[frame] for frame in frames):
            start = max(reached, access_points[bisect_right(access_points, target) - 1])
            needed.update(packet for packet in range(start, target) if self.headers[packet].is_reference)
            needed.add(target)
            reached = target
        return needed


def index_packets(clip: Clip) -> PacketIndex:
    """Read the headers of a clip's packets; raises NotSkippable."""
    decoder = clip.stream.codec_context
    require(decoder.name in HEADER_READERS, f"headers of {decoder.name} are not read")
    pts: list[int | None] = []
    cut_away: list[bool] = []

    def packets() -> Iterator[memoryview]:
        for packet in clip.packets():
            for side in packet.iter_sidedata():
                require(side.data_type != "new_extradata", "the configuration changes")
            pts.append(packet.pts)
            cut_away.append(packet.is_discard)
            yield memoryview(packet)

    headers = HEADER_READERS[decoder.name](packets(), decoder.extradata or b"")
    # What an edit list cuts away is decoded, and not shown.
    return put_in_order([h._replace(is_shown=False) if cut_away[n] else h for n, h in enumerate(headers)], pts)


def put_in_order(headers: Sequence[PacketHeader], pts: Sequence[int | None]) -> PacketIndex:
    """Put a clip's frames in presentation order, given each packet's header and PTS; raises NotSkippable."""
    require(headers[0].is_access_point, "the clip does not begin with an access point")
    shown = sorted((number for number, header in enumerate(headers) if header.is_shown), key=lambda n: headers[n].order)
    times = [time for packet in shown if (time := pts[packet]) is not None]
    orders = [headers[packet].order for packet in shown]
    rise = all(one < other for numbers in (orders, times) for one, other in pairwise(numbers))
    require(shown and len(times) == len(shown) and rise, "headers and PTS do not give one presentation order")
    return PacketIndex(headers, shown, times)


def decode_wanted(clip: Clip, index: PacketIndex, wanted: Iterable[int]) -> dict[int, av.VideoFrame]:
    """Decode some frames and what they need; raises NotSkippable."""
    wanted = set(wanted)
    needed = index.needed_packets(wanted)
    expected = [frame for frame, packet in enumerate(index.packets) if packet in needed]
    frames = {}
    try:
        for frame, number in zip_longest(clip.decode(needed), expected):
            if frame is None or number is None or frame.pts != index.pts[number] or frame.is_corrupt:
                raise NotSkippable("the decoder does not output the frames expected")
            if number in wanted:
                frames[number] = frame
    except av.FFmpegError as error:
        raise NotSkippable("the decoder reports damage") from error
    return frames
