"""What the header of a packet says about its frame: H.264, MPEG-4 part 2, VP8 and VP9.

Fields are matched as bits. A header that does not match, of a damaged packet or of a rarer form of the codec, means
that the clip is decoded in order: libavcodec alone knows what such a packet does to the frames after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from itertools import chain
from typing import NamedTuple, TypeAlias


class NotSkippable(Exception):
    """The clip has to be decoded in order; says why."""


class PacketHeader(NamedTuple):
    """The one frame of a packet."""

    order: int  # its place in presentation order, by comparison within a clip
    is_access_point: bool  # a random access point: no frame from here on refers to a frame before
    is_reference: bool = True  # later frames may refer to it
    is_shown: bool = True  # the decoder outputs it


# In decoding order, each as the parts that a bitstream filter cuts it into.
Packets: TypeAlias = Iterable[list[bytes]]
UNREAD = "a header is damaged, or of a form that is not read"
NOT_ONE_FRAME = "a packet does not hold one frame"


def require(condition: object, otherwise: str) -> None:
    """Raise NotSkippable where a condition does not hold."""
    if not condition:
        raise NotSkippable(otherwise)


def _match_bits(pattern: re.Pattern[str], data: bytes, size: int) -> re.Match[str]:
    """Match the first `size` bytes as a text of "0" and "1"; where there are fewer, zeros follow."""
    match = pattern.match(format(int.from_bytes(data[:size].ljust(size, b"\x00"), "big"), f"0{8 * size}b"))
    if match is None:
        raise NotSkippable(UNREAD)
    return match


def _units(
    packets: Packets, extradata: bytes, mask: int, frame: Set[int], configuration: Set[int], other: Set[int]
) -> tuple[Set[bytes], Iterator[list[bytes]]]:
    """Return the units of a stream's configuration, and an iterator over those of each packet's frame.

    A unit follows a start code; the mask takes its kind from its first byte. The configuration is in the extradata and
    in the first packet; later packets may repeat it.
    """

    def cut(data: bytes) -> tuple[list[bytes], list[bytes]]:
        before, *units = data.split(b"\x00\x00\x01")
        require(not before.strip(b"\x00") and all(units), "bytes of a packet belong to no unit")
        found: tuple[list[bytes], list[bytes]] = [], []
        for unit in units:
            kind = unit[0] & mask
            if kind in frame:
                found[1].append(unit)
            elif kind in configuration:
                found[0].append(unit.rstrip(b"\x00") or unit)
            elif kind not in other:
                raise NotSkippable(f"a packet holds a unit of type {kind}")
        return found

    def frames() -> Iterator[list[bytes]]:
        for found, units in chain([first], rest):
            require(known.issuperset(found), "the configuration changes")
            yield units

    rest = (cut(b"".join(parts)) for parts in packets)
    first = next(rest, ([], []))
    known = {*cut(extradata)[0], *first[0]}
    return known, frames()


# An unsigned Exp-Golomb code: as many zeros as bits follow the first 1. Its value is the number it spells, less 1.
UE = f"(?:{'|'.join(f'0{{{n}}}1.{{{n}}}' for n in range(17))})"
# Profiles whose sequence parameter sets (SPS) say more about colours.
HIGH = f"(?:{'|'.join(format(profile, '08b') for profile in (44, 83, 86, 100, 110, 118, 122, 128, 138, 144, 244))})"
SPS = re.compile(
    rf""".{{3}}00111 (?: (?!{HIGH}) .{{24}} {UE}                    # profile, level, the SPS's number
        | {HIGH} .{{16}} {UE} (?: 001000 | (?!00100) {UE} )        # one frame of all colours
          {UE} {UE} . 0 )                                          # depths; no scaling
    (?P<number>{UE}) (?: 1 (?P<order>{UE}) | 011 )                 # bits of frame_num and order, less 4
    {UE} . {UE} {UE} 1                                             # references, gaps, size; no fields""",
    re.VERBOSE,
)
PPS = re.compile(rf".{{3}}01000 {UE} {UE} . 0", re.VERBOSE)  # its number, its SPS; fields have no order of their own
# First macroblock, slice type, PPS; frame_num; the number of an IDR frame; presentation order.
SLICE = rf".(?P<reference>..)(?:(?P<idr>00101)|00001)1{UE}{UE}(?P<number>.{{%d}})(?(idr){UE})(?P<order>.{{%d}})"


def read_h264(packets: Packets, extradata: bytes) -> Iterator[PacketHeader]:
    """H.264 after ITU-T H.264, 7.3 (fields) and 8.2.1 (order): progressive, of one SPS.

    Access points are IDR frames: after a recovery point, frames may refer to earlier ones.
    """

    def match(pattern: re.Pattern[str], unit: bytes, size: int) -> re.Match[str]:
        # Without the bytes that keep start codes from appearing inside a unit.
        return _match_bits(pattern, unit[:96].replace(b"\x00\x00\x03", b"\x00\x00"), size)

    # Slices; parameter sets; SEI messages, delimiters and filler, which are no part of a frame.
    parameters, frames = _units(packets, extradata, 31, {1, 5}, {7, 8}, {6, 9, 12})
    found = [match(SPS if unit[0] & 31 == 7 else PPS, unit, 48) for unit in parameters]
    sets = [fields for fields in found if fields.re is SPS]
    require(len(sets) == 1, "the stream has not one configuration")
    number_bits, order_bits = (int(sets[0][name] or "1", 2) + 3 for name in ("number", "order"))
    pattern = re.compile(SLICE % (number_bits, order_bits if sets[0]["order"] else 0))
    half = 1 << order_bits - 1
    period = reference_order = next_number = 0
    for count, slices in enumerate(frames):
        # A frame's first slice begins with its first macroblock, number 0, one bit.
        starts = [unit[1:2] >= b"\x80" for unit in slices]
        require(starts and starts[0] and not any(starts[1:]) and len({unit[0] for unit in slices}) == 1, NOT_ONE_FRAME)
        slice_ = match(pattern, slices[0], 16)
        is_reference, number, order = slice_["reference"] != "00", int(slice_["number"], 2), count
        if slice_["idr"]:
            period, reference_order = period + 1, 0
        else:
            require(number == next_number, "frames are missing")
        if slice_["order"]:
            # It is a remainder; meant is the number nearest to the last reference frame's (8.2.1.1).
            order = reference_order + (int(slice_["order"], 2) - reference_order + half) % (2 * half) - half
        if is_reference:
            next_number, reference_order = (number + 1) % (1 << number_bits), order
        yield PacketHeader((period << 32) + order, bool(slice_["idr"]), is_reference)


LAYER = re.compile(
    r""".{8} . .{8} (?:0|1.{7})      # start code; random access, object type, version
    (?:1111.{16}|(?!1111).{4})       # pixel aspect
    (?:0|1...(?:0|1.{79}))           # control parameters
    00. (?P<ticks>.{16})             # rectangular; ticks a second""",
    re.VERBOSE,
)
# Start code; I or P; a 1 for each second passed, and a 0; a marker, the ticks, a marker; the frame is coded.
VOP = ".{8}0(?P<is_p>.)1*01.{%d}11"


def read_mpeg4(packets: Packets, extradata: bytes) -> Iterator[PacketHeader]:
    """MPEG-4 part 2 (Xvid, DivX, FFmpeg's mpeg4) after ISO/IEC 14496-2, 6.2: I and P frames, one a packet.

    Every I frame is an access point. B frames, packed ones (two in a packet, then an empty one), global motion
    compensation and frames that are not coded are not read.
    """
    # Frames; headers, and the user data by which a decoder knows the encoder and its bugs; groups, which hold a time.
    headers, frames = _units(packets, extradata, 255, {0xB6}, {*range(0x30), 0xB0, 0xB2, 0xB5}, {0xB3})
    layers = [_match_bits(LAYER, unit, 24) for unit in headers if 0x20 <= unit[0] < 0x30]
    require(len(layers) == 1, "the stream has not one configuration")
    pattern = re.compile(VOP % max(1, (int(layers[0]["ticks"], 2) - 1).bit_length()))
    for count, vops in enumerate(frames):
        require(len(vops) == 1, NOT_ONE_FRAME)
        yield PacketHeader(count, is_access_point=_match_bits(pattern, vops[0], 17)["is_p"] == "0")


def read_vp8(packets: Packets, _: bytes) -> Iterator[PacketHeader]:
    """VP8 after RFC 6386, 9.1: every key frame is an access point."""
    for count, (frame,) in enumerate(packets):
        require(len(frame) >= 3, "a packet holds an empty frame")
        yield PacketHeader(count, is_access_point=not frame[0] & 1, is_shown=bool(frame[0] & 16))


def read_vp9(packets: Packets, _: bytes) -> Iterator[PacketHeader]:
    """VP9 after its bitstream specification, 6.2: as VP8, but a packet may hold frames that are not shown as well."""
    for count, frames in enumerate(packets):
        require(all(frame[:1] and frame[0] >> 6 == 0b10 for frame in frames), UNREAD)
        # After the marker and the profile, of one bit more in profile 3: 8, it shows an older frame; 4, it refers to
        # others; 2, it is shown.
        flags = [frame[0] << (frame[0] & 0b110000 == 0b110000) for frame in frames]
        shown = sum(bool(bits & 0b1010) for bits in flags)
        require(flags and shown <= 1, NOT_ONE_FRAME)
        yield PacketHeader(count, is_access_point=not flags[0] & 0b1100, is_shown=shown == 1)


# By FFmpeg's name of the decoder: what reads a stream's packets, and the bitstream filter that puts start codes before
# NAL units (where they have lengths, as in MP4, and then the configuration, too) or cuts packets into frames.
HEADER_READERS = {
    "h264": (read_h264, "h264_mp4toannexb"),
    "mpeg4": (read_mpeg4, None),
    "vp8": (read_vp8, None),
    "vp9": (read_vp9, "vp9_superframe_split"),
}
