"""What the header of a packet says about its frame: MPEG-4, VP8 and VP9 here, H.264 in h264_headers.py.

A header that does not match, of a damaged packet or of a rarer form of the codec, means that the clip is decoded in
order: libavcodec alone knows what such a packet does to the frames after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import av
from av.bitstream import BitStreamFilterContext

__all__ = [
    "HeaderReader",
    "Mpeg4Headers",
    "NotSkippable",
    "PacketHeader",
    "Vp9Headers",
    "filtered",
    "match_bits",
    "read_vp8",
]


class NotSkippable(Exception):
    """The clip has to be decoded in order; says why."""


class PacketHeader(NamedTuple):
    """The one frame of a packet.

    Args:
        is_access_point: a random access point: no frame from here on refers to a frame before.
        is_reference: later frames may refer to it.
        is_shown: the decoder outputs it.
        order: its place in presentation order, by comparison within a clip; None where that is decoding order.
    """

    is_access_point: bool
    is_reference: bool = True
    is_shown: bool = True
    order: int | None = None


# Reads a stream's packets in decoding order; NotSkippable where one is not one frame of a form that it knows.
HeaderReader: TypeAlias = Callable[[bytes], PacketHeader]


def match_bits(pattern: re.Pattern[str], data: bytes, size: int) -> re.Match[str]:
    """Match the first `size` bytes as a text of "0" and "1" against header fields; where there are fewer, zeros follow.

    Raises:
        NotSkippable: they do not match.
    """
    match = pattern.match(format(int.from_bytes(data[:size].ljust(size, b"\x00"), "big"), f"0{8 * size}b"))
    if match is None:
        raise NotSkippable("a header is damaged, or of a form that is not read")
    return match


def filtered(part: BitStreamFilterContext, packet: bytes) -> list[bytes]:
    """Let a part of FFmpeg rewrite a packet, or cut it.

    Raises:
        NotSkippable: the packet is not what it expects.
    """
    try:
        return [bytes(made) for made in part.filter(av.Packet(packet))]
    except av.FFmpegError as error:
        raise NotSkippable("the parts of a packet do not fill it") from error


# A VOP is what MPEG-4 calls a frame.
START, VOP, GROUP_OF_VOPS, LAYERS = b"\x00\x00\x01", b"\x00\x00\x01\xb6", 0xB3, range(0x20, 0x30)
LAYER = re.compile(
    r""".{32} . .{8} (?:0|1.{7})     # start code; random access, object type, version
    (?:1111.{16}|(?!1111).{4})       # pixel aspect
    (?:0|1...(?:0|1.{79}))           # control parameters
    00. (?P<ticks>.{16})             # rectangular; ticks a second""",
    re.VERBOSE,
)


class Mpeg4Headers:
    """MPEG-4 part 2 (Xvid, DivX, FFmpeg's mpeg4) after ISO/IEC 14496-2, 6.2: I and P frames, one a packet.

    Presentation order is decoding order, every I frame is an access point. B frames, packed ones (two in a packet, then
    an empty one), global motion compensation and frames that are not coded are not read.

    Args:
        extradata: the stream's configuration from the container, may be empty.
    """

    def __init__(self, extradata: bytes) -> None:
        # Layers, and the user data by which a decoder knows the encoder and its bugs.
        self._configuration = _sections(extradata)
        self._vop: re.Pattern[str] | None = None

    def read(self, packet: bytes) -> PacketHeader:
        """Read the header of one packet."""
        before, *frames = packet.split(VOP)
        if len(frames) != 1:
            raise NotSkippable("a packet does not hold one frame")
        sections = _sections(before)
        if self._vop is None:
            self._configuration |= sections
            self._vop = self._vop_pattern()
        elif not sections <= self._configuration:
            raise NotSkippable("the configuration changes")
        return PacketHeader(is_access_point=match_bits(self._vop, frames[0], 16)["is_p"] == "0")

    def _vop_pattern(self) -> re.Pattern[str]:
        layers = [section for section in self._configuration if section[3] in LAYERS]
        if len(layers) != 1:
            raise NotSkippable("the stream has not one configuration")
        time_bits = max(1, (int(match_bits(LAYER, layers[0], 24)["ticks"], 2) - 1).bit_length())
        # I or P; a 1 for each second passed, and a 0; a marker, the ticks, a marker; the frame is coded.
        return re.compile(rf"0(?P<is_p>.)1*01.{{{time_bits}}}11")


def _sections(data: bytes) -> set[bytes]:
    """Cut headers at their start codes, leaving out those of groups, which hold but a time."""
    before, *sections = data.split(START)
    if before or not all(sections):
        raise NotSkippable("bytes before a frame belong to no header")
    stripped = (START + section[:1] + section[1:].rstrip(b"\x00") for section in sections)
    return {section for section in stripped if section[3] != GROUP_OF_VOPS}


def read_vp8(packet: bytes) -> PacketHeader:
    """VP8 after RFC 6386, 9.1: presentation order is decoding order, every key frame is an access point."""
    if len(packet) < 3:
        raise NotSkippable("a packet holds an empty frame")
    return PacketHeader(is_access_point=not packet[0] & 1, is_shown=bool(packet[0] & 16))


class Vp9Headers:
    """VP9 after its bitstream specification, 6.2: as VP8, but a packet may hold frames that are not shown as well."""

    def __init__(self) -> None:
        self._split = BitStreamFilterContext("vp9_superframe_split", "vp9")

    def read(self, packet: bytes) -> PacketHeader:
        """Read the headers of one packet."""
        frames = [_vp9_flags(frame) for frame in filtered(self._split, packet)]
        shown = sum(bool(flags & 0b1010) for flags in frames)
        if not frames or shown > 1:
            raise NotSkippable("a packet does not hold one frame")
        return PacketHeader(is_access_point=not frames[0] & 0b1100, is_shown=shown == 1)


def _vp9_flags(frame: bytes) -> int:
    """Return the bits of a frame: 8, it shows an older frame; 4, it refers to others; 2, it is shown."""
    if not frame or frame[0] >> 6 != 0b10:
        raise NotSkippable("a header is damaged, or of a form that is not read")
    is_profile_3 = frame[0] & 0b110000 == 0b110000
    return frame[0] << 1 if is_profile_3 else frame[0]  # after the marker and the profile, of one bit more in profile 3
