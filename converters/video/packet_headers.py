"""What the header of a packet says about its frame: H.264, MPEG-4 part 2, VP8 and VP9.

Fields are matched as bits. A header that does not match, of a damaged packet or of a rarer form of the codec, means
that the clip is decoded in order: libavcodec alone knows what such a packet does to the frames after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Set
from functools import partial
from typing import NamedTuple, TypeAlias

import av
from av.bitstream import BitStreamFilterContext


class NotSkippable(Exception):
    """The clip has to be decoded in order; says why."""


class PacketHeader(NamedTuple):
    """The one frame of a packet."""

    order: int  # its place in presentation order, by comparison within a clip
    is_access_point: bool  # a random access point: no frame from here on refers to a frame before
    is_reference: bool = True  # later frames may refer to it
    is_shown: bool = True  # the decoder outputs it


Packets: TypeAlias = Iterable[memoryview]  # in decoding order
START_CODE = re.compile(b"\x00\x00\x01")
FIRST_START_CODE = re.compile(b"\x00*\x00\x00\x01")
BEGINNING = 96  # bytes of a unit: more than any header here
Split: TypeAlias = Callable[[memoryview], Iterable[tuple[int, int]]]  # where each unit of a packet begins and ends
NOT_OF_UNITS = "bytes of a packet belong to no unit"
UNREAD = "a header is damaged, or of a form that is not read"
NOT_ONE_FRAME = "a packet does not hold one frame"


def require(condition: object, otherwise: str) -> None:
    """Raise NotSkippable where a condition does not hold."""
    if not condition:
        raise NotSkippable(otherwise)


def _match_bits(pattern: re.Pattern[str], data: bytes, size: int) -> re.Match[str]:
    """Match the first `size` bytes as a text of "0" and "1"; where there are fewer, zeros follow."""
    # After "0b" and a 1, which keeps the zeros behind it.
    match = pattern.match(bin(int.from_bytes(b"\x01" + data[:size].ljust(size, b"\x00"), "big"))[3:])
    if match is None:
        raise NotSkippable(UNREAD)
    return match


def _by_start_codes(data: memoryview) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end of each unit; raises NotSkippable."""
    code = FIRST_START_CODE.match(data)
    require(code or not data, NOT_OF_UNITS)
    while code is not None:
        start = code.end()
        code = START_CODE.search(data, start)
        end = code.start() if code is not None else len(data)
        require(start < end, NOT_OF_UNITS)
        yield start, end


def _by_lengths(data: memoryview, size: int) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end of each unit behind a length of `size` bytes; raises NotSkippable."""
    end = 0
    while end < len(data):
        start = end + size
        end = start + int.from_bytes(data[end:start], "big")
        require(start < end <= len(data), NOT_OF_UNITS)
        yield start, end


def _annex_b(configuration: bytes) -> bytes:
    """Put the parameter sets of MP4's configuration of H.264 (ISO/IEC 14496-15, 5.3.3) behind start codes."""
    found, end = b"", 5
    for mask in (31, 255):  # of their number: SPS, then PPS
        end += 1
        for _ in range(int.from_bytes(configuration[end - 1 : end], "big") & mask):
            start = end + 2
            end = start + int.from_bytes(configuration[end:start], "big")
            found += b"\x00\x00\x01" + configuration[start:end]
    require(end <= len(configuration), NOT_OF_UNITS)
    return found


def _units(
    packets: Packets, extradata: bytes, split: Split, mask: int, frame: Set[int], headers: Set[int], other: Set[int]
) -> tuple[Set[bytes], Iterator[list[bytes]]]:
    """Return the units of a stream's configuration, and an iterator over those of each packet's frame.

    The mask takes a unit's kind from its first byte. The configuration is in the extradata and in the first packet;
    later packets may repeat it. Of a frame's unit the beginning is given.
    """

    def cut(data: memoryview, split: Split) -> tuple[list[bytes], list[bytes]]:
        found: tuple[list[bytes], list[bytes]] = [], []
        for start, end in split(data):
            kind = data[start] & mask
            if kind in frame:
                found[1].append(data[start : min(start + BEGINNING, end)].tobytes())
            elif kind in headers:
                unit = data[start:end].tobytes()
                found[0].append(unit.rstrip(b"\x00") or unit)
            elif kind not in other:
                raise NotSkippable(f"a packet holds a unit of type {kind}")
        return found

    def frames() -> Iterator[list[bytes]]:
        yield first
        for data in rest:
            found, units = cut(data, split)
            require(known.issuperset(found), "the configuration changes")
            yield units

    rest = iter(packets)
    in_packet, first = cut(next(rest, memoryview(b"")), split)
    known = {*cut(memoryview(extradata), _by_start_codes)[0], *in_packet}
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
        return _match_bits(pattern, unit[:BEGINNING].replace(b"\x00\x00\x03", b"\x00\x00"), size)

    # Slices; parameter sets; SEI messages, delimiters and filler, which are no part of a frame.
    split: Split = _by_start_codes
    if extradata[:1] == b"\x01":  # MP4's configuration; units have lengths of so many bytes then
        extradata, size = _annex_b(extradata), (extradata[4] & 3) + 1
        split = partial(_by_lengths, size=size)
    parameters, frames = _units(packets, extradata, split, 31, {1, 5}, {7, 8}, {6, 9, 12})
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
        reference, idr, number_text, order_text = match(pattern, slices[0], 16).groups()
        is_reference, number, order = reference != "00", int(number_text, 2), count
        if idr:
            period, reference_order = period + 1, 0
        else:
            require(number == next_number, "frames are missing")
        if order_text:
            # It is a remainder; meant is the number nearest to the last reference frame's (8.2.1.1).
            order = reference_order + (int(order_text, 2) - reference_order + half) % (2 * half) - half
        if is_reference:
            next_number, reference_order = (number + 1) % (1 << number_bits), order
        yield PacketHeader((period << 32) + order, idr is not None, is_reference)


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
    headers, frames = _units(packets, extradata, _by_start_codes, 255, {0xB6}, {*range(0x30), 0xB0, 0xB2, 0xB5}, {0xB3})
    layers = [_match_bits(LAYER, unit, 24) for unit in headers if 0x20 <= unit[0] < 0x30]
    require(len(layers) == 1, "the stream has not one configuration")
    pattern = re.compile(VOP % max(1, (int(layers[0]["ticks"], 2) - 1).bit_length()))
    for count, vops in enumerate(frames):
        require(len(vops) == 1, NOT_ONE_FRAME)
        yield PacketHeader(count, is_access_point=_match_bits(pattern, vops[0], 17)["is_p"] == "0")


def read_vp8(packets: Packets, _: bytes) -> Iterator[PacketHeader]:
    """VP8 after RFC 6386, 9.1: every key frame is an access point."""
    for count, frame in enumerate(packets):
        require(len(frame) >= 3, "a packet holds an empty frame")
        yield PacketHeader(count, is_access_point=not frame[0] & 1, is_shown=bool(frame[0] & 16))


def read_vp9(packets: Packets, _: bytes) -> Iterator[PacketHeader]:
    """VP9 after its bitstream specification, 6.2: as VP8, but a packet may hold frames that are not shown as well."""
    split = BitStreamFilterContext("vp9_superframe_split", "vp9")
    for count, packet in enumerate(packets):
        try:
            frames = [bytes(frame) for frame in split.filter(av.Packet(packet))]
        except av.FFmpegError as error:
            raise NotSkippable("the frames of a packet do not fill it") from error
        require(all(frame[:1] and frame[0] >> 6 == 0b10 for frame in frames), UNREAD)
        # After the marker and the profile, of one bit more in profile 3: 8, it shows an older frame; 4, it refers to
        # others; 2, it is shown.
        flags = [frame[0] << (frame[0] & 0b110000 == 0b110000) for frame in frames]
        shown = sum(bool(bits & 0b1010) for bits in flags)
        require(flags and shown <= 1, NOT_ONE_FRAME)
        yield PacketHeader(count, is_access_point=not flags[0] & 0b1100, is_shown=shown == 1)


HEADER_READERS = {"h264": read_h264, "mpeg4": read_mpeg4, "vp8": read_vp8, "vp9": read_vp9}
"""By FFmpeg's name of the decoder: what reads a stream's packets, and its extradata."""
