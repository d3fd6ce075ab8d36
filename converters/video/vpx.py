"""Headers of VP8 (RFC 6386, 9.1) and VP9 (its bitstream specification, 6.2 and annex B).

Both are shown in the order of decoding, and every key frame is a clean start. Pictures that are decoded but not shown
are counted out; VP9 frames that show an older picture once more are not proved.
"""

from __future__ import annotations

from collections.abc import Iterator

from .bits import Bits
from .picture import Picture, Unproved

__all__ = ["Vp8Headers", "Vp9Headers"]


class Vp8Headers:
    """Reads a VP8 stream."""

    def __init__(self) -> None:
        self._pictures = 0

    def read(self, packet: bytes) -> Picture:
        """Read one packet's headers."""
        if len(packet) < 3:
            raise Unproved("a packet holds an empty picture")
        self._pictures += 1
        is_key = not packet[0] & 1
        return Picture(order=self._pictures, is_entry=is_key, is_shown=bool(packet[0] & 16))


class Vp9Headers:
    """Reads a VP9 stream."""

    def __init__(self) -> None:
        self._pictures = 0

    def read(self, packet: bytes) -> Picture:
        """Read one packet's headers."""
        self._pictures += 1
        frames = [_is_key_and_is_shown(frame) for frame in _frames(packet)]
        shown = sum(is_shown for _, is_shown in frames)
        if shown > 1:
            raise Unproved("a packet shows two pictures")
        return Picture(order=self._pictures, is_entry=frames[0][0], is_shown=shown == 1)


def _frames(packet: bytes) -> Iterator[bytes]:
    """Cut a packet into its frames: several, if it ends in an index of their sizes (annex B)."""
    if not packet:
        raise Unproved("a packet holds an empty picture")
    marker = packet[-1]
    if marker >> 5 != 0b110:
        yield packet
        return
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = packet[-2 - count * width :]
    if len(index) != 2 + count * width or index[0] != marker:
        yield packet
        return
    at = 0
    for number in range(count):
        size = int.from_bytes(index[1 + number * width : 1 + (number + 1) * width], "little")
        if not 0 < size <= len(packet) - len(index) - at:
            raise Unproved("a packet's index does not fit it")
        yield packet[at : at + size]
        at += size


def _is_key_and_is_shown(frame: bytes) -> tuple[bool, bool]:
    bits = Bits(frame[:4])
    if bits.take(2) != 0b10:
        raise Unproved("a picture's header cannot be read")
    low, high = bits.take(1), bits.take(1)
    if low and high:
        bits.take(1)  # profile 3 keeps a bit for later
    if bits.take(1):
        raise Unproved("a packet shows an older picture once more")
    return not bits.take(1), bool(bits.take(1))
