"""Headers of H.264, after ITU-T H.264, 7.3 and 8.2.1.

Proved are progressive streams of one sequence parameter set, one picture a packet. Entries are IDR pictures alone;
recovery points, from which decoders start as well, may be followed by pictures that refer to what came before.
"""

from __future__ import annotations

from collections.abc import Iterator

from .bits import Bits
from .picture import Picture, Unproved

__all__ = ["H264Headers"]

START_CODE = b"\x00\x00\x01"
SLICE, IDR_SLICE = 1, 5
SEQUENCE_PARAMETERS, PICTURE_PARAMETERS = 7, 8
SUPPLEMENTARY = {6, 9, 12}  # SEI messages, delimiters, filler: no part of any picture
WITH_CHROMA_FORMAT = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244}

# Of a slice, as many bytes as its header's first fields can take.
HEADER = 32


class H264Headers:
    """Reads an H.264 stream.

    Args:
        extradata: the stream's configuration from the container: an `avcC` box, start codes, or nothing.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length_size = 0  # of the number before each unit; 0: start codes
        self._parameters: set[bytes] = set()
        self._sequence: _Sequence | None = None
        self._pictures = self._period = self._high = self._low = self._next_number = 0
        if extradata[:1] == b"\x01":
            configuration = Bits(extradata)
            configuration.take(32 + 6)  # version, profile, constraints, level
            self._length_size = configuration.take(2) + 1
            self._keep(_configured_units(configuration))
        else:
            self._keep(_units_at_start_codes(extradata))

    def read(self, packet: bytes) -> Picture:
        """Read one packet's headers."""
        units = _units_after_lengths(packet, self._length_size) if self._length_size else _units_at_start_codes(packet)
        picture = None
        for unit in units:
            kind = unit[0] & 31
            if kind in (SLICE, IDR_SLICE):
                starts_picture = unit[1:2] >= b"\x80"  # its first macroblock is number 0, one bit
                if starts_picture != (picture is None):
                    raise Unproved("a packet does not hold one picture")
                picture = picture or self._picture(unit)
            elif kind in (SEQUENCE_PARAMETERS, PICTURE_PARAMETERS):
                self._keep([unit])
            elif kind not in SUPPLEMENTARY:
                raise Unproved(f"a packet holds a unit of type {kind}")
        if picture is None:
            raise Unproved("a packet holds no picture")
        self._pictures += 1
        return picture

    def _keep(self, units: Iterator[bytes] | list[bytes]) -> None:
        for unit in units:
            kind = unit[0] & 31 if unit else 0
            if unit in self._parameters or kind not in (SEQUENCE_PARAMETERS, PICTURE_PARAMETERS):
                continue
            if self._pictures:
                raise Unproved("the configuration changes on the way")
            if kind == PICTURE_PARAMETERS:
                _check_picture_parameters(unit)
            elif self._sequence is not None:
                raise Unproved("the stream has not one configuration")
            else:
                self._sequence = _Sequence(unit)
            self._parameters.add(unit)

    def _picture(self, unit: bytes) -> Picture:
        if self._sequence is None:
            raise Unproved("the stream has not one configuration")
        bits = Bits(_unescaped(unit[1:HEADER]))
        is_idr = unit[0] & 31 == IDR_SLICE
        is_reference = bool(unit[0] & 0x60)
        for _ in ("first macroblock", "slice type", "picture parameters"):
            bits.golomb()
        number = bits.take(self._sequence.frame_number_bits)
        if is_idr:
            bits.golomb()
            self._period += 1
            self._high = self._low = 0
        elif number != self._next_number:
            raise Unproved("pictures are missing")
        if is_reference:
            self._next_number = (number + 1) % (1 << self._sequence.frame_number_bits)
        order = self._pictures  # where the stream gives no numbers for it, the order is that of decoding
        if self._sequence.order_bits:
            order = self._order(bits.take(self._sequence.order_bits), 1 << self._sequence.order_bits, is_reference)
        return Picture(order=(self._period << 32) + order, is_entry=is_idr, is_reference=is_reference)

    def _order(self, low: int, span: int, is_reference: bool) -> int:
        """Complete a picture's order count, of which the header holds the remainder by `span` (8.2.1.1)."""
        high = self._high
        if low < self._low and self._low - low >= span // 2:
            high += span
        elif low > self._low and low - self._low > span // 2:
            high -= span
        if is_reference:
            self._high, self._low = high, low
        return high + low


class _Sequence:
    """What a slice header's fields depend on: a sequence parameter set (7.3.2.1.1).

    Args:
        unit: the whole unit.
    """

    def __init__(self, unit: bytes) -> None:
        bits = Bits(_unescaped(unit[1:]))
        profile = bits.take(8)
        bits.take(8 + 8)  # constraints, level
        bits.golomb()  # its number
        if profile in WITH_CHROMA_FORMAT:
            _skip_chroma_format(bits)
        self.frame_number_bits = bits.golomb() + 4
        order_type = bits.golomb()
        self.order_bits = bits.golomb() + 4 if order_type == 0 else 0
        if order_type == 1:
            raise Unproved("the order of showing follows from a cycle of offsets")
        bits.golomb()  # reference frames
        bits.take(1)  # whether frame numbers may leave gaps
        bits.golomb()  # width
        bits.golomb()  # height
        if not bits.take(1):
            raise Unproved("the stream may hold interlaced pictures")


def _skip_chroma_format(bits: Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3 and bits.take(1):
        raise Unproved("colours are coded apart")
    bits.golomb()  # luma depth
    bits.golomb()  # chroma depth
    bits.take(1)  # lossless
    if not bits.take(1):
        return
    for number in range(12 if chroma == 3 else 8):
        if bits.take(1):
            _skip_scaling_list(bits, 16 if number < 6 else 64)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = 8
    for _ in range(size):
        following = (last + bits.signed_golomb()) % 256
        if not following:
            return
        last = following


def _check_picture_parameters(unit: bytes) -> None:
    bits = Bits(_unescaped(unit[1:HEADER]))
    bits.golomb()  # its number
    bits.golomb()  # its sequence's
    bits.take(1)  # entropy coding
    if bits.take(1):
        raise Unproved("a picture's two fields have an order of their own")


def _unescaped(data: bytes) -> bytes:
    """Take out the bytes that keep start codes from appearing inside a unit."""
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def _configured_units(box: Bits) -> Iterator[bytes]:
    """Give the parameter sets of an `avcC` box from where their number stands (ISO/IEC 14496-15, 5.2.4)."""
    for _ in ("sequence", "picture"):
        for _ in range(box.take(8) & 31):
            size = box.take(16)
            yield box.take(8 * size).to_bytes(size, "big")


def _units_after_lengths(packet: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at < len(packet):
        size = int.from_bytes(packet[at : at + length_size], "big")
        at += length_size
        if not 0 < size <= len(packet) - at:
            raise Unproved("a packet's units do not fill it")
        yield packet[at : at + size]
        at += size


def _units_at_start_codes(packet: bytes) -> Iterator[bytes]:
    before, *units = packet.split(START_CODE)
    if before.strip(b"\x00"):
        raise Unproved("bytes of a packet belong to no unit")
    for unit in units:
        if not unit:
            raise Unproved("a packet holds an empty unit")
        yield unit.rstrip(b"\x00") or unit
