"""Which packets have to be decoded for some frames of a clip, where that can be proved.

A decoder that is given some packets and not others takes them for a clip from which the rest was cut. The frames it
then shows are those of the whole clip if every packet is one plain picture, if the first packet given and the first
after each cut refer to nothing before them, and if nothing that is left out is referred to. The headers of the stream
say all of that; the key frame marks of the container, which real files get wrong, are not asked.

Which frame of the clip a picture is follows from its place in the order of showing. Two witnesses have to agree on that
order, the pictures' own numbers in the stream and the container's time stamps; and the decoder has to hold back as many
pictures as the order needs, for one that holds back fewer drops what comes late.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from .h264 import H264Headers
from .mpeg4 import Mpeg4Headers
from .picture import HeaderReader, Picture, Unproved
from .sampling import ClipTable
from .vpx import Vp8Headers, Vp9Headers

if TYPE_CHECKING:
    import av

__all__ = ["Proof", "needed_packets", "order_of_showing", "prove"]


class Proof(NamedTuple):
    """A clip any frame of which can be decoded without all that comes before.

    Args:
        pictures: one a packet, in the order of decoding.
        shown: the number of each frame's packet, in the order of showing.
        stamps: each frame's time stamp, rising.
    """

    pictures: Sequence[Picture]
    shown: Sequence[int]
    stamps: Sequence[int]

    def table(self, unit: Fraction) -> ClipTable:
        """Return the frames' times, given the seconds in a unit of the time stamps, and the key frames."""
        times = [(stamp - self.stamps[0]) * unit.numerator / unit.denominator for stamp in self.stamps]
        return ClipTable(times, [n for n, packet in enumerate(self.shown) if self.pictures[packet].is_entry])


def prove(packets: Iterable[av.Packet], decoder: av.VideoCodecContext) -> Proof:
    """Read the headers of a clip's packets.

    Args:
        packets: all of them, in the order of decoding.
        decoder: as it is before the first of them.

    Raises:
        Unproved: something is not as it has to be, or not known.
    """
    reader = _header_reader(decoder.name, decoder.extradata or b"")
    pictures, stamps, cut_away = [], [], []
    for packet in packets:
        pictures.append(reader.read(bytes(packet)))
        stamps.append(packet.pts)
        cut_away.append(packet.is_discard)
    return order_of_showing(pictures, stamps, cut_away, decoder.reorder_depth)


def _header_reader(codec: str, extradata: bytes) -> HeaderReader:
    if codec == "mpeg4":
        return Mpeg4Headers(extradata)
    if codec == "h264":
        return H264Headers(extradata)
    if codec in ("vp8", "libvpx"):
        return Vp8Headers()
    if codec in ("vp9", "libvpx-vp9"):
        return Vp9Headers()
    raise Unproved(f"headers of {codec} are not read")


def order_of_showing(
    pictures: Sequence[Picture], stamps: Sequence[int | None], cut_away: Sequence[bool], held_back: int
) -> Proof:
    """Put a clip's pictures in the order of showing.

    Args:
        pictures: one a packet, in the order of decoding; at least one.
        stamps: the packets' time stamps.
        cut_away: which of them the container has decoded but not shown.
        held_back: how many pictures the decoder holds back to put them in order.

    Raises:
        Unproved: the witnesses differ, or the decoder would not follow them.
    """
    if not pictures[0].is_entry:
        raise Unproved("the clip begins in the middle")
    decoded = [packet for packet, picture in enumerate(pictures) if picture.is_shown]
    if _most_overtaken(pictures[packet].order for packet in decoded) > held_back:
        raise Unproved("the decoder holds back fewer pictures than their order needs")
    shown = sorted((packet for packet in decoded if not cut_away[packet]), key=lambda packet: pictures[packet].order)
    times = [stamp for packet in shown if (stamp := stamps[packet]) is not None]
    orders = [pictures[packet].order for packet in shown]
    if not shown or len(times) < len(shown) or not (_rises(times) and _rises(orders)):
        raise Unproved("the stream and the time stamps do not give one order of showing")
    return Proof(pictures, shown, times)


def _most_overtaken(orders: Iterable[int]) -> int:
    """Count, for the worst picture, how many of those decoded before it are shown after it."""
    before: list[int] = []
    most = 0
    for order in orders:
        most = max(most, len(before) - bisect_right(before, order))
        insort(before, order)
    return most


def _rises(numbers: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))


def needed_packets(proof: Proof, frames: Iterable[int]) -> list[int]:
    """Find the packets to decode for some frames: never more than decoding through to the last of them takes.

    The first packet is always among them: encoders leave notes in it that decoders remember.

    Args:
        proof: the clip.
        frames: numbers of the frames wanted, in the order of showing.

    Returns:
        Packet numbers, in the order of decoding.
    """
    entries = [packet for packet, picture in enumerate(proof.pictures) if picture.is_entry]
    needed = {0}
    reached = 0
    for target in sorted(proof.shown[frame] for frame in frames):
        start = max(reached, entries[bisect_right(entries, target) - 1])
        needed.update(packet for packet in range(start, target) if proof.pictures[packet].is_reference)
        needed.add(target)
        reached = target
    return sorted(needed)
