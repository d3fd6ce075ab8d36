"""What the header of a packet says about its frame: H.264, MPEG-4 part 2, VP8 and VP9.

Fields are matched as bits. A header that does not match, of a damaged packet or of a rarer form of the codec, means
that the clip is decoded in order: libavcodec alone knows what such a packet does to the frames after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple, TypeAlias

__all__ = ["HEADER_READERS", "NotSkippable", "PacketHeader", "read_h264", "read_mpeg4", "read_vp8", "read_vp9"]


class NotSkippable(Exception):
    """The clip has to be decoded in order; says why."""


class PacketHeader(NamedTuple):
    """The one frame of a packet.

    Args:
        order: its place in presentation order, by comparison within a clip.
        is_access_point: a random access point: no frame from here on refers to a frame before.
        is_reference: later frames may refer to it.
        is_shown: the decoder outputs it.
    """

    order: int
    is_access_point: bool
    is_reference: bool = True
    is_shown: bool = True


# In decoding order, each as the parts that a bitstream filter cuts it into.
Packets: TypeAlias = Iterable[list[bytes]]


def _match_bits(pattern: re.Pattern[str], data: bytes, size: int) -> re.Match[str]:
    """Match the first `size` bytes as a text of "0" and "1"; where there are fewer, zeros follow."""
    match = pattern.match(format(int.from_bytes(data[:size].ljust(size, b"\x00"), "big"), f"0{8 * size}b"))
    if match is None:
        raise NotSkippable("a header is damaged, or of a form that is not read")
    return match


def _frames(
    packets: Packets, extradata: bytes, mask: int, frame: Set[int], configuration: Set[int], other: Set[int]
) -> Iterator[tuple[Set[bytes], list[bytes]]]:
    """Give the units of the configuration, and those of each packet's frame, in streams that have start codes.

    The mask takes a unit's kind from its first byte. The configuration is in the extradata and in the first packet;
    later packets may repeat it.
    """

    def cut(data: bytes) -> tuple[set[bytes], list[bytes]]:
        before, *units = data.split(b"\x00\x00\x01")
        if before.strip(b"\x00") or not all(units):
            raise NotSkippable("bytes of a packet belong to no unit")
        if odd := {unit[0] & mask for unit in units} - frame - configuration - other:
            raise NotSkippable(f"a packet holds a unit of type {min(odd)}")
        units = [unit.rstrip(b"\x00") or unit for unit in units]
        return {unit for unit in units if unit[0] & mask in configuration}, [
            unit for unit in units if unit[0] & mask in frame
        ]

    known, _ = cut(extradata)
    for number, parts in enumerate(packets):
        found, units = cut(b"".join(parts))
        if number and not found <= known:
            raise NotSkippable("the configuration changes")
        known |= found
        yield known, units


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
    """H.264 after ITU-T H.264, 7.3 (fields) and 8.2.1 (order): progressive, of one sequence parameter set.

    Access points are IDR frames: after a recovery point, frames may refer to earlier ones.
    """
    number_bits = order_bits = period = reference_order = next_number = 0
    # Slices; parameter sets; SEI messages, delimiters and filler, which are no part of a frame.
    frames = _frames(packets, extradata, 31, {1, 5}, {7, 8}, {6, 9, 12})
    for count, (configuration, slices) in enumerate(frames):
        if count == 0:
            number_bits, order_bits = _field_widths(configuration)
        # A frame's first slice begins with its first macroblock, number 0, one bit.
        starts = [unit[1:2] >= b"\x80" for unit in slices]
        if starts[:1] != [True] or any(starts[1:]) or len({unit[0] for unit in slices}) > 1:
            raise NotSkippable("a packet does not hold one frame")
        fields = _match_bits(re.compile(SLICE % (number_bits, order_bits)), _unescaped(slices[0]), 16)
        is_idr, is_reference, number = bool(fields["idr"]), fields["reference"] != "00", int(fields["number"], 2)
        if is_idr:
            period, reference_order = period + 1, 0
        elif number != next_number:
            raise NotSkippable("frames are missing")
        if is_reference:
            next_number = (number + 1) % (1 << number_bits)
        order = count  # where the stream has no numbers for it, that of decoding
        if order_bits:
            # The header holds a remainder; meant is the number nearest to the last reference frame's (8.2.1.1).
            half = 1 << order_bits - 1
            order = reference_order + (int(fields["order"], 2) - reference_order + half) % (2 * half) - half
            if is_reference:
                reference_order = order
        yield PacketHeader((period << 32) + order, is_idr, is_reference)


def _field_widths(configuration: Set[bytes]) -> tuple[int, int]:
    """Return how many bits frame_num and the presentation order have in slices."""
    sets = [_match_bits(SPS, _unescaped(unit), 48) for unit in configuration if unit[0] & 31 == 7]
    if len(sets) != 1:
        raise NotSkippable("the stream has not one configuration")
    for unit in configuration:
        if unit[0] & 31 == 8:
            _match_bits(PPS, _unescaped(unit), 48)
    return int(sets[0]["number"], 2) + 3, int(sets[0]["order"], 2) + 3 if sets[0]["order"] else 0


def _unescaped(unit: bytes) -> bytes:
    """Return the first bytes of a NAL unit without those that keep start codes from appearing inside it."""
    return unit[:96].replace(b"\x00\x00\x03", b"\x00\x00")


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
    compensation and frames that are not coded are not read. The configuration has layers, and the user data by which a
    decoder knows the encoder and its bugs.
    """
    pattern = re.compile("")
    frames = _frames(packets, extradata, 255, {0xB6}, {*range(0x30), 0xB0, 0xB2, 0xB5}, {0xB3})
    for count, (configuration, vops) in enumerate(frames):
        if count == 0:
            layers = [unit for unit in configuration if 0x20 <= unit[0] < 0x30]
            if len(layers) != 1:
                raise NotSkippable("the stream has not one configuration")
            ticks = int(_match_bits(LAYER, layers[0], 24)["ticks"], 2)
            pattern = re.compile(VOP % max(1, (ticks - 1).bit_length()))
        if len(vops) != 1:
            raise NotSkippable("a packet does not hold one frame")
        yield PacketHeader(count, _match_bits(pattern, vops[0], 17)["is_p"] == "0")


def read_vp8(packets: Packets, _: bytes) -> Iterator[PacketHeader]:
    """VP8 after RFC 6386, 9.1: every key frame is an access point."""
    for count, (frame,) in enumerate(packets):
        if len(frame) < 3:
            raise NotSkippable("a packet holds an empty frame")
        yield PacketHeader(count, is_access_point=not frame[0] & 1, is_shown=bool(frame[0] & 16))


def read_vp9(packets: Packets, _: bytes) -> Iterator[PacketHeader]:
    """VP9 after its bitstream specification, 6.2: as VP8, but a packet may hold frames that are not shown as well."""
    for count, frames in enumerate(packets):
        if not all(frame[:1] and frame[0] >> 6 == 0b10 for frame in frames):
            raise NotSkippable("a header is damaged, or of a form that is not read")
        # After the marker and the profile, of one bit more in profile 3: 8, it shows an older frame; 4, it refers to
        # others; 2, it is shown.
        flags = [frame[0] << (frame[0] & 0b110000 == 0b110000) for frame in frames]
        shown = sum(bool(bits & 0b1010) for bits in flags)
        if not frames or shown > 1:
            raise NotSkippable("a packet does not hold one frame")
        yield PacketHeader(count, is_access_point=not flags[0] & 0b1100, is_shown=shown == 1)


# By FFmpeg's name of the decoder: the bitstream filter that puts start codes before NAL units (where they have lengths,
# as in MP4, and then the configuration, too) or cuts packets into frames; and what reads the parts.
HEADER_READERS = {
    "h264": ("h264_mp4toannexb", read_h264),
    "mpeg4": ("null", read_mpeg4),
    "vp8": ("null", read_vp8),
    "vp9": ("vp9_superframe_split", read_vp9),
}
