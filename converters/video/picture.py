"""What the header of a packet says about the picture in it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["HeaderReader", "Picture", "Unproved"]


class Unproved(Exception):
    """Nothing proves that decoding only some packets of this clip gives the right pictures; says what is missing."""


class Picture(NamedTuple):
    """The one picture of a packet.

    Args:
        order: its place in the order of showing, among the pictures of the clip; only comparisons mean something.
        is_entry: nothing from here on refers to anything before.
        is_reference: later pictures may refer to it.
        is_shown: a decoder gives a frame for it.
    """

    order: int
    is_entry: bool
    is_reference: bool = True
    is_shown: bool = True


class HeaderReader(Protocol):
    """Reads a stream's packets in the order of decoding; keeps what later headers depend on."""

    def read(self, packet: bytes) -> Picture:
        """Read one packet's headers.

        Raises:
            Unproved: the packet is not one plain picture as this reader knows them.
        """
