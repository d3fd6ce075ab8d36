"""Headers of MPEG-4 part 2 (Xvid, DivX, FFmpeg's `mpeg4`), after ISO/IEC 14496-2, 6.2.

Proved are streams of I and P pictures, one a packet: they are shown in the order of decoding, and every I picture is a
clean start. B pictures, the packed form that DivX puts into AVI (two pictures in one packet, then an empty one), empty
pictures and global motion compensation are not.
"""

from __future__ import annotations

import re

from .bits import Bits
from .picture import Picture, Unproved

__all__ = ["Mpeg4Headers"]

PREFIX = b"\x00\x00\x01"
PICTURE = PREFIX + b"\xb6"
GROUP_OF_PICTURES = 0xB3
VIDEO_OBJECT_LAYERS = range(0x20, 0x30)
EXTENDED_ASPECT = 15
RECTANGULAR = 0
I_PICTURE, P_PICTURE = 0, 1

# Of a picture, as many bytes as its header's first fields can take.
HEADER = 16

SECTION = re.compile(rb"(?=\x00\x00\x01)", re.DOTALL)


class Mpeg4Headers:
    """Reads an MPEG-4 part 2 stream.

    Args:
        extradata: the stream's configuration from the container, may be empty.
    """

    def __init__(self, extradata: bytes) -> None:
        # What configures the decoder: layers, and the user data by which it knows the encoder and its bugs.
        self._configuration = set(_sections(extradata))
        self._time_bits = 0
        self._pictures = 0

    def read(self, packet: bytes) -> Picture:
        """Read one packet's headers."""
        at = packet.find(PICTURE)
        if at < 0 or packet.find(PICTURE, at + 1) > 0:
            raise Unproved("a packet does not hold one picture")
        if at:
            self._configure(set(_sections(packet[:at])))
        if not self._time_bits:
            self._time_bits = _time_bits(self._configuration)
        kind = self._picture_type(packet[at + len(PICTURE) :][:HEADER])
        self._pictures += 1
        return Picture(order=self._pictures, is_entry=kind == I_PICTURE)

    def _configure(self, sections: set[bytes]) -> None:
        if not self._pictures:
            self._configuration |= sections
        elif not sections <= self._configuration:
            raise Unproved("the configuration changes on the way")

    def _picture_type(self, header: bytes) -> int:
        # One number and not Bits: this is done for every packet of every clip.
        fields = int.from_bytes(header.ljust(HEADER, b"\x00"), "big")
        left = 8 * HEADER - 2
        kind = fields >> left
        if kind not in (I_PICTURE, P_PICTURE):
            raise Unproved("pictures are shown in another order than they are decoded in")
        zeros = (1 << left) - 1 & ~fields
        left = zeros.bit_length() - 1  # past a 1 for every second since the last picture, and a 0
        left -= 1 + self._time_bits + 1 + 1  # past a marker, the time, a marker, and whether the picture is coded
        if left < 0 or zeros >> left + 1 + 1 + self._time_bits & 1 or zeros >> left + 1 & 1:
            raise Unproved("a picture's header cannot be read")
        if zeros >> left & 1:
            raise Unproved("a packet holds an empty picture")
        return kind


def _sections(data: bytes) -> list[bytes]:
    """Cut headers at their start codes, leaving out those of groups of pictures: they hold but a time."""
    sections = [section[:4] + section[4:].rstrip(b"\x00") for section in SECTION.split(data) if section]
    if any(len(section) < 4 or not section.startswith(PREFIX) for section in sections):
        raise Unproved("bytes before a picture belong to no header")
    return [section for section in sections if section[3] != GROUP_OF_PICTURES]


def _time_bits(configuration: set[bytes]) -> int:
    """Find how many bits a picture's time takes: enough for the ticks of one second."""
    layers = [section for section in configuration if section[3] in VIDEO_OBJECT_LAYERS]
    if len(layers) != 1:
        raise Unproved("the stream has not one configuration")
    bits = Bits(layers[0][4:])
    bits.take(1 + 8)  # random access, object type
    if bits.take(1):
        bits.take(4 + 3)  # version, priority
    if bits.take(4) == EXTENDED_ASPECT:
        bits.take(8 + 8)
    if bits.take(1):  # control parameters
        bits.take(2 + 1)
        if bits.take(1):  # a buffer model
            bits.take(79)
    if bits.take(2) != RECTANGULAR:
        raise Unproved("the video object has a shape")
    bits.take(1)
    ticks = bits.take(16)
    return max(1, (ticks - 1).bit_length())
