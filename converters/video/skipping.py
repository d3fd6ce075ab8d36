"""How frames are skipped: which packets have to be decoded for some frames of a clip.

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
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

import av
from av.bitstream import BitStreamFilterContext

from .container import Clip
from .packet_headers import HEADER_READERS, NotSkippable, PacketHeader, require


class PacketIndex(NamedTuple):
    """A clip whose frames can be decoded without all that comes before.

    Args:
        headers: one a packet, in decoding order.
        packets: the number of each frame's packet, in presentation order.
        pts: the PTS of each frame, rising.
    """

    headers: Sequence[PacketHeader]
    packets: Sequence[int]
    pts: Sequence[int]

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
    read, filter_name = HEADER_READERS[decoder.name]
    extradata = decoder.extradata or b""
    pts: list[int | None] = []
    cut_away: list[bool] = []

    def parts() -> Iterator[list[bytes]]:
        try:
            split = BitStreamFilterContext(filter_name, clip.stream) if filter_name else None
            for packet in clip.packets():
                require(not packet.has_sidedata("new_extradata"), "the configuration changes")
                pts.append(packet.pts)
                cut_away.append(packet.is_discard)
                data = bytes(packet)
                yield [bytes(part) for part in split.filter(av.Packet(data))] if split else [data]
        except av.FFmpegError as error:
            raise NotSkippable("the parts of a packet do not fill it") from error

    # MP4's configuration of H.264, which begins with a 1, is put into the packets.
    headers = read(parts(), b"" if extradata[:1] == b"\x01" else extradata)
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
