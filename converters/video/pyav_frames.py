"""Frames through PyAV: those of decoding in order, without decoding more than they need where that can be proved."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ...schema.errors import MediaError
from .container import HELD, Clip, open_clip
from .frame import Choose, Frame
from .picture import Unproved
from .proof import Proof, needed_packets, prove
from .sampling import ClipTable
from .upright import Display, read_display, upright

__all__ = ["Decoded", "decode", "read"]

# Frames a second of a clip that says nothing about time at all.
NO_RATE = Fraction(25)


def read(path: Path, choose: Choose) -> list[Frame]:
    """Read the frames that `choose` names.

    Raises:
        MediaError: the clip is damaged, cut short, or no video.
    """
    try:
        return _shown(decode(path, choose))
    finally:
        # In PyAV a picture and its side data hold each other, and with them all of the decoder's memory: left to the
        # collector's own time, that is gigabytes.
        gc.collect(1)


def _shown(decoded: Decoded) -> list[Frame]:
    display = decoded.display()
    return [
        Frame(number, decoded.table.times[number], upright(pixels, display))
        for number, pixels in decoded.stored_pixels()
    ]


class Decoded(NamedTuple):
    """The frames that were wanted of a clip, decoded, and what is known of the clip.

    Args:
        table: all its frames.
        pictures: those wanted, by their number, in the order of showing.
        pixel_aspect: width of a stored pixel over its height, where the clip says.
        proved: only what the wanted frames need was decoded.
    """

    table: ClipTable
    pictures: dict[int, av.VideoFrame]
    pixel_aspect: Fraction | None
    proved: bool

    def display(self) -> Display:
        """Return how the pictures are to be shown."""
        matrix = next(iter(self.pictures.values())).side_data.get("DISPLAYMATRIX")
        return read_display(bytes(matrix) if matrix else None, self.pixel_aspect)

    def stored_pixels(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give each picture's number and its pixels as stored, uint8 [H, W, 3] RGB."""
        convert = VideoReformatter()  # one for all: it keeps its tables from picture to picture
        for number, picture in self.pictures.items():
            yield number, convert.reformat(picture, format="rgb24", threads=1).to_ndarray()


def decode(path: Path, choose: Choose) -> Decoded:
    """Decode the frames that `choose` names.

    Raises:
        MediaError: the clip is damaged, cut short, or no video.
    """
    with suppress(Unproved), open_clip(path) as clip:
        return _decode_needed(clip, prove(clip.packets(), clip.stream.codec_context), choose)
    first = _decode_through(path, keep=None)
    wanted = choose(first.table)
    # A clip too long to keep whole is decoded again, now that it is known what to keep.
    found = first if first.pictures.keys() >= set(wanted) else _decode_through(path, keep=wanted)
    return first._replace(pictures={number: found.pictures[number] for number in wanted})


def _pictures(clip: Clip, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
    decoder = clip.stream.codec_context
    for packet in chain(packets, (None,)):  # None: the end, at which a decoder lets go of the pictures it holds back
        yield from decoder.decode(packet)


def _check_whole(picture: av.VideoFrame, clip: Clip, number: int) -> None:
    if picture.is_corrupt:
        raise MediaError(f"{clip.name}: damaged, frame {number} cannot be decoded whole")


def _decode_needed(clip: Clip, proof: Proof, choose: Choose) -> Decoded:
    """Decode only what the wanted frames need, and see that the decoder gives what was proved."""
    table = proof.table(clip.stream.time_base)
    wanted = choose(table)
    needed = set(needed_packets(proof, wanted))
    expected = [frame for frame, packet in enumerate(proof.shown) if packet in needed]
    pictures = {}
    clip.stream.codec_context.copy_opaque = True
    for picture, frame in zip_longest(_pictures(clip, _marked(clip, needed)), expected):
        if picture is None or frame is None or picture.opaque != (proof.shown[frame],):
            raise Unproved("the decoder gave other pictures")
        _check_whole(picture, clip, frame)
        if frame in wanted:
            pictures[frame] = picture
    return Decoded(table, pictures, clip.stream.sample_aspect_ratio, proved=True)


def _marked(clip: Clip, numbers: Collection[int]) -> Iterator[av.Packet]:
    """Give the packets of these numbers, each marked with its own: a decoder hands the mark on to the picture."""
    last = max(numbers)
    for number, packet in enumerate(clip.packets()):
        if number in numbers:
            # A new tuple and not the number: PyAV keeps marks by identity, and equal small numbers are one object.
            packet.opaque = (number,)
            yield packet
        if number == last:
            return


def _decode_through(path: Path, keep: Collection[int] | None) -> Decoded:
    """Decode a clip in order.

    Args:
        path: the clip.
        keep: the frames to keep; None keeps the first ones, as far as the memory set apart for them goes.
    """
    stamps: list[int | None] = []
    keys: list[int] = []
    pictures: dict[int, av.VideoFrame] = {}
    size = 0
    with open_clip(path) as clip:
        stream = clip.stream
        for number, picture in enumerate(_pictures(clip, clip.packets())):
            _check_whole(picture, clip, number)
            stamps.append(picture.pts)
            if picture.key_frame:
                keys.append(number)
            size += sum(plane.buffer_size for plane in picture.planes)
            if size <= HELD if keep is None else number in keep:
                pictures[number] = picture
        if not stamps:
            raise MediaError(f"{clip.name}: holds no picture that can be decoded")
        rate = stream.average_rate or stream.guessed_rate or NO_RATE
        table = ClipTable(_times(stamps, stream.time_base, rate), keys)
        return Decoded(table, pictures, stream.sample_aspect_ratio, proved=False)


def _times(stamps: list[int | None], unit: Fraction, rate: Fraction) -> list[float]:
    """Return each frame's seconds from the first, by its number where the container's time stamps lead nowhere."""
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) == len(stamps) and all(one < other for one, other in pairwise(known)):
        return [(stamp - known[0]) * unit.numerator / unit.denominator for stamp in known]
    return [number * rate.denominator / rate.numerator for number in range(len(stamps))]
