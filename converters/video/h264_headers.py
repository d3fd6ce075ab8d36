"""What the header of a packet of H.264 says about its frame, after ITU-T H.264, 7.3 (fields) and 8.2.1 (order).

Fields are matched as bits. Read are progressive streams of one sequence parameter set (SPS), one frame a packet, with
start codes before each NAL unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .packet_headers import NotSkippable, PacketHeader, match_bits

__all__ = ["H264Headers"]

SLICE, IDR_SLICE, SPS, PPS = 1, 5, 7, 8
NON_VCL = {6, 9, 12}  # SEI messages, delimiters, filler: no part of a frame

# An unsigned Exp-Golomb code: as many zeros as bits follow the first 1. Its value is the number it spells, less 1.
UE = f"(?:{'|'.join(f'0{{{n}}}1.{{{n}}}' for n in range(17))})"


def _any_of(*profiles: int) -> str:
    return f"(?:{'|'.join(format(profile, '08b') for profile in profiles)})"


SPS_FIELDS = re.compile(
    rf""".{{8}} (?: {_any_of(66, 77, 88)} .{{16}} {UE}                 # profile, level, the SPS's number
         | {_any_of(44, 83, 86, 100, 110, 118, 122, 128, 244)} .{{16}} {UE}
           (?: 001000 | (?!00100) {UE} ) {UE} {UE} . 0 )             # one frame of all colours; depths; no scaling
    (?P<number>{UE}) (?: 1 (?P<order>{UE}) | 011 )                   # bits of frame_num and order, less 4
    {UE} . {UE} {UE} 1                                               # references, gaps, size; no fields""",
    re.VERBOSE,
)
PPS_FIELDS = re.compile(rf".{{8}} {UE} {UE} . 0", re.VERBOSE)  # its number, its SPS; fields have no order of their own


class H264Headers:
    """Reads an H.264 stream. Access points are IDR frames: after a recovery point, frames may refer to earlier ones.

    Args:
        extradata: the stream's configuration where the container has it: units at start codes, as in the packets.
    """

    def __init__(self, extradata: bytes) -> None:
        self._parameters: set[bytes] = set()
        self._slices: dict[int, re.Pattern[str]] = {}
        self._number_span = self._order_span = 0
        self._frames = self._period = self._reference_order = self._next_number = 0
        self._configure(_units(extradata))

    def read(self, packet: bytes) -> PacketHeader:
        """Read the header of one packet."""
        first, units = b"", list(_units(packet))
        self._configure(unit for unit in units if unit[0] & 31 in (SPS, PPS))
        for unit in units:
            kind = unit[0] & 31
            if kind in (SLICE, IDR_SLICE):
                starts_frame = unit[1:2] >= b"\x80"  # its first macroblock is number 0, one bit
                if starts_frame == bool(first) or (first and first[0] != unit[0]):
                    raise NotSkippable("a packet does not hold one frame")
                first = first or unit
            elif kind not in {SPS, PPS, *NON_VCL}:
                raise NotSkippable(f"a packet holds a NAL unit of type {kind}")
        if not first:
            raise NotSkippable("a packet holds no frame")
        self._frames += 1
        return self._header(first)

    def _configure(self, units: Iterable[bytes]) -> None:
        for unit in units:
            kind = unit[0] & 31 if unit else 0
            if unit in self._parameters or kind not in (SPS, PPS):
                continue
            if self._frames or (kind == SPS and self._slices):
                raise NotSkippable("the configuration changes")
            fields = match_bits(SPS_FIELDS if kind == SPS else PPS_FIELDS, _unescaped(unit), 48)
            if kind == SPS:
                number_bits = int(fields["number"], 2) + 3
                order_bits = int(fields["order"], 2) + 3 if fields["order"] else 0
                self._number_span, self._order_span = 1 << number_bits, 1 << order_bits
                # First macroblock, slice type, PPS; frame_num; the number of an IDR frame; presentation order.
                start, end = rf".{{8}}1{UE}{UE}(.{{{number_bits}}})", rf"(.{{{order_bits}}})"
                self._slices = {SLICE: re.compile(start + end), IDR_SLICE: re.compile(start + UE + end)}
            self._parameters.add(unit)

    def _header(self, unit: bytes) -> PacketHeader:
        if not self._slices:
            raise NotSkippable("the stream has no configuration")
        is_idr, is_reference = unit[0] & 31 == IDR_SLICE, bool(unit[0] & 0x60)
        number, order_code = match_bits(self._slices[unit[0] & 31], _unescaped(unit), 16).groups()
        if is_idr:
            self._period += 1
            self._reference_order = 0
        elif int(number, 2) != self._next_number:
            raise NotSkippable("frames are missing")
        if is_reference:
            self._next_number = (int(number, 2) + 1) % self._number_span
        order = self._frames  # where the stream has no numbers for it, that of decoding
        if order_code:
            # The header holds a remainder; meant is the number nearest to the last reference frame's (8.2.1.1).
            half = self._order_span // 2
            order = self._reference_order
            order += (int(order_code, 2) - order + half) % self._order_span - half
            if is_reference:
                self._reference_order = order
        return PacketHeader(is_idr, is_reference, order=(self._period << 32) + order)


def _unescaped(unit: bytes) -> bytes:
    """Return the first bytes of a NAL unit without those that keep start codes from appearing inside it."""
    return unit[:96].replace(b"\x00\x00\x03", b"\x00\x00")


def _units(packet: bytes) -> Iterator[bytes]:
    before, *units = packet.split(b"\x00\x00\x01")
    if before.strip(b"\x00") or not all(units):
        raise NotSkippable("bytes of a packet belong to no NAL unit")
    for unit in units:
        yield unit.rstrip(b"\x00") or unit
