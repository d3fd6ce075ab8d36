"""What packets say of their frames, against what a decoder makes of them; and every reason to decode in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted_clips import Clips

from phi3v_data.converters.video.container import open_clip
from phi3v_data.converters.video.packet_headers import (
    NotSkippable,
    PacketHeader,
    read_h264,
    read_mpeg4,
    read_vp8,
    read_vp9,
)
from phi3v_data.converters.video.pyav_frames import index_packets

VOP = b"\x00\x00\x01\xb6"
I_TYPE, P_TYPE, B_TYPE, S_TYPE = range(4)


Read: TypeAlias = Callable[[Iterable[memoryview], bytes], Iterator[PacketHeader]]


def headers_of(read: Read, extradata: bytes, *packets: bytes) -> list[PacketHeader]:
    return list(read(map(memoryview, packets), extradata))


def stream_of(path: Path) -> tuple[bytes, list[bytes]]:
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
        return file.streams.video[0].codec_context.extradata or b"", packets


def bits(*fields: tuple[int, int]) -> bytes:
    """Fields of (value, width), filled up with zeros."""
    text = "".join(format(value, f"0{width}b") for value, width in fields if width)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def golomb(value: int) -> tuple[int, int]:
    return value + 1, 2 * (value + 1).bit_length() - 1


# MPEG-4 part 2


def layer(ticks: int = 25, shape: int = 0) -> bytes:
    """A video object layer's header up to the number of ticks in a second."""
    fields = [(0, 9), (0, 1), (1, 4), (0, 1), (shape, 2), (1, 1), (ticks, 16), (1, 1), (0, 1)]
    return b"\x00\x00\x01\x20" + bits(*fields) + b"\xff"


def vop(kind: int = P_TYPE, seconds: int = 0, time_bits: int = 5, coded: int = 1, markers: int = 1) -> bytes:
    fields = [(kind, 2), *[(1, 1)] * seconds, (0, 1), (markers, 1), (1, time_bits), (1, 1), (coded, 1), (0x55, 8)]
    return VOP + bits(*fields) + b"\x55" * 20


def test_mpeg4_headers_are_those_the_decoder_finds(clips: Clips) -> None:
    extradata, packets = stream_of(clips.named("xvid.avi"))
    frames = headers_of(read_mpeg4, extradata, *packets)
    assert [number for number, frame in enumerate(frames) if frame.is_access_point] == [0, 12, 24, 36, 48]
    assert all(frame.is_reference and frame.is_shown for frame in frames)
    assert [frame.order for frame in frames] == list(range(60))


@pytest.mark.parametrize("seconds", [0, 1, 3])
@pytest.mark.parametrize("ticks", [1, 2, 25, 30, 30000, 65535])
def test_mpeg4_times_of_any_width_are_skipped(ticks: int, seconds: int) -> None:
    width = max(1, (ticks - 1).bit_length())
    frames = [vop(kind, seconds, width) for kind in (I_TYPE, P_TYPE)]
    assert [header.is_access_point for header in headers_of(read_mpeg4, layer(ticks), *frames)] == [True, False]
    with pytest.raises(NotSkippable, match="of a form that is not read"):
        headers_of(read_mpeg4, layer(ticks), *frames, vop(P_TYPE, seconds, width, coded=0))


def test_mpeg4_headers_may_be_repeated_and_groups_have_times() -> None:
    group = b"\x00\x00\x01\xb3\x12\x34\x56"
    first = b"\x00\x00\x01\xb2XviD0050" + layer()
    packets = first + vop(I_TYPE), vop(), layer() + group + vop(I_TYPE)
    assert [header.is_access_point for header in headers_of(read_mpeg4, b"", *packets)] == [True, False, True]


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "not hold one frame"),
        (b"\x7f", "no unit"),
        (vop() + vop(B_TYPE), "not hold one frame"),
        (vop(B_TYPE), "damaged, or of a form"),
        (vop(S_TYPE), "damaged, or of a form"),
        (vop(coded=0), "damaged, or of a form"),
        (vop(markers=0), "damaged, or of a form"),
        (VOP, "damaged, or of a form"),
        (VOP + b"\x40", "damaged, or of a form"),
        (VOP + b"\x7f" + b"\xff" * 20, "damaged, or of a form"),
        (layer(ticks=30) + vop(), "configuration changes"),
        (b"\x00\x00\x01\xb2Lavc57" + vop(), "configuration changes"),
        (b"\x01" + vop(), "no unit"),
        (vop() + b"\x00\x00\x01\xb1", "unit of type 177"),
    ],
)
def test_mpeg4_packets_that_have_to_be_decoded_in_order(packet: bytes, why: str) -> None:
    with pytest.raises(NotSkippable, match=why):
        headers_of(read_mpeg4, layer(), vop(I_TYPE), packet)


@pytest.mark.parametrize(
    ("extradata", "why"),
    [
        (b"", "not one configuration"),
        (layer(25) + layer(30), "not one configuration"),
        (layer(shape=1), "damaged, or of a form"),
        (layer()[:6], "damaged, or of a form"),
        (b"garbage" + layer(), "no unit"),
    ],
)
def test_mpeg4_configurations_that_have_to_be_decoded_in_order(extradata: bytes, why: str) -> None:
    with pytest.raises(NotSkippable, match=why):
        headers_of(read_mpeg4, extradata, vop(I_TYPE))


# H.264


def sps(order_type: int = 0, progressive: int = 1, profile: int = 66, number: int = 0) -> bytes:
    order = [golomb(2)] if order_type == 0 else []
    fields = [(profile, 8), (0, 16), golomb(number), golomb(0), golomb(order_type), *order, golomb(1), (0, 1)]
    return b"\x67" + bits(*fields, golomb(9), golomb(5), (progressive, 1), (1, 1), (0, 1), (0, 1), (1, 1))


def pps(fields_apart: int = 0, number: int = 0) -> bytes:
    return b"\x68" + bits(golomb(number), golomb(0), (1, 1), (fields_apart, 1), golomb(0), (1, 8))


def coded_slice(low: int, number: int = 1, *, idr: bool = False, reference: bool = True, first: int = 0) -> bytes:
    """A slice's header with 4 bits of frame number and 6 of frame order."""
    kind = 5 if idr else 1
    fields = [
        golomb(first),
        golomb(7),
        golomb(0),
        (0 if idr else number, 4),
        *([golomb(0)] if idr else []),
        (low, 6),
        (0x2B, 16),
    ]
    return bytes([(0x60 if reference else 0) | kind]) + bits(*fields)


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def h264(*packets: bytes, units: Sequence[bytes] = (sps(), pps())) -> list[PacketHeader]:
    return headers_of(read_h264, annex_b(*units), *packets)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.ts", "h264-pyramid.mp4", "h264-slices.mp4", "h264-open-gop.mp4"])
def test_h264_headers_are_those_the_decoder_finds(clips: Clips, name: str) -> None:
    with open_clip(clips.named(name)) as clip:
        headers = index_packets(clip).headers
    by_order = sorted(range(len(headers)), key=lambda number: headers[number].order)
    with av.open(str(clips.named(name))) as file:
        pts = [packet.pts for packet in file.demux(video=0) if packet.size]
        frames = list(file.decode(video=0)) if file.seek(0) is None else []
    assert [pts[number] for number in by_order] == sorted(pts)
    kinds = {frame.pts: frame.pict_type for frame in frames}
    for time, header in zip(pts, headers, strict=True):
        if header.is_access_point:
            assert kinds[time] == av.video.frame.PictureType.I
        if not header.is_reference:
            assert kinds[time] == av.video.frame.PictureType.B


def test_h264_orders_go_on_where_their_numbers_begin_again() -> None:
    lows = [0, 8, 4, 40, 60, 12, 8, 63, 0]
    kinds = [False] * len(lows)
    kinds[0] = kinds[-1] = True
    packets = [annex_b(coded_slice(low, n, idr=idr)) for n, (low, idr) in enumerate(zip(lows, kinds, strict=True))]
    orders = [frame.order for frame in h264(*packets)]
    period = 1 << 32
    assert orders == [period + order for order in (0, 8, 4, 40 - 64, 60 - 64, 12, 8, 63 - 64)] + [2 * period]


def test_h264_orders_follow_frames_that_others_refer_to() -> None:
    lows = [(0, True), (20, True), (40, False), (30, True), (60, False), (50, True), (6, True)]
    numbers = accumulate((used for _, used in lows), initial=0)
    packets = [
        annex_b(coded_slice(low, number, idr=low == 0, reference=used))
        for (low, used), number in zip(lows, numbers, strict=False)
    ]
    frames = h264(*packets)
    assert [frame.order & 0xFF for frame in frames] == [0, 20, 40, 30, 60, 50, 70]
    assert [frame.is_reference for frame in frames] == [used for _, used in lows]


def test_h264_frames_are_numbered_through_from_one_that_others_refer_to() -> None:
    numbers = [0, *range(1, 16), 0, 1]  # of 4 bits
    slices = [coded_slice(0, number, idr=count == 0) for count, number in enumerate(numbers)]
    slices += [*[coded_slice(0, 2, reference=False)] * 3, coded_slice(0, 2)]
    assert len(h264(*map(annex_b, slices))) == 22


def test_h264_streams_without_numbers_are_shown_as_decoded() -> None:
    packets = [annex_b(coded_slice(0, idr=number % 2 == 0)) for number in range(4)]
    orders = [frame.order for frame in h264(*packets, units=[sps(order_type=2), pps()])]
    assert orders == sorted(set(orders))


def test_h264_parameters_may_come_with_the_first_frame_and_again() -> None:
    parameters = sps(), pps(), pps(number=1)
    delimiter, message = b"\x09\xf0", b"\x06\x05\x01\x00\x80"
    first = annex_b(delimiter, *parameters, message, coded_slice(0, idr=True))
    again = annex_b(delimiter, *parameters, coded_slice(0, idr=True))
    assert all(header.is_access_point for header in h264(first, again, units=[]))


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "not hold one frame"),
        (annex_b(b"\x09\xf0"), "not hold one frame"),
        (annex_b(coded_slice(2), coded_slice(4)), "not hold one frame"),
        (annex_b(coded_slice(2, first=3)), "not hold one frame"),
        (annex_b(coded_slice(2), b"\x0a"), "unit of type 10"),
        (annex_b(b"\x6e" + coded_slice(2)[1:], coded_slice(2)), "unit of type 14"),
        (annex_b(coded_slice(2)[:2]), "damaged, or of a form"),
        (annex_b(coded_slice(2, number=2)), "frames are missing"),
        (annex_b(coded_slice(2, number=0)), "frames are missing"),
        (annex_b(sps(number=1), coded_slice(2)), "configuration changes"),
        (annex_b(pps(number=1), coded_slice(2)), "configuration changes"),
        (b"\x12\x34" + annex_b(coded_slice(2)), "belong to no unit"),
        (b"\x00\x00\x01\x00\x00\x01" + coded_slice(2), "belong to no unit"),
    ],
)
def test_h264_packets_that_have_to_be_decoded_in_order(packet: bytes, why: str) -> None:
    with pytest.raises(NotSkippable, match=why):
        h264(annex_b(coded_slice(0, idr=True)), packet)


@pytest.mark.parametrize(
    ("units", "why"),
    [
        ([pps()], "not one configuration"),
        ([sps(), sps(number=1)], "not one configuration"),
        ([sps(order_type=1)], "damaged, or of a form"),
        ([sps(progressive=0)], "damaged, or of a form"),
        ([sps(), pps(fields_apart=1)], "damaged, or of a form"),
        ([sps()[:5]], "damaged, or of a form"),
    ],
)
def test_h264_configurations_that_have_to_be_decoded_in_order(units: list[bytes], why: str) -> None:
    with pytest.raises(NotSkippable, match=why):
        h264(annex_b(coded_slice(0, idr=True)), units=units)


def in_mp4(*units: bytes, size: int) -> bytes:
    """Units as MP4 has them, each behind its length of so many bytes."""
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)


def mp4_configuration(size: int, *, sets: Sequence[bytes] = (sps(),), more: Sequence[bytes] = (pps(),)) -> bytes:
    lists = b"".join(bytes([len(units)]) + in_mp4(*units, size=2) for units in (sets, more))
    return bytes([1, 66, 0, 30, 0xFC | size - 1]) + lists


@pytest.mark.parametrize("size", [1, 2, 4])
def test_h264_is_read_alike_with_lengths_and_with_start_codes(size: int) -> None:
    frames = [coded_slice(0, idr=True), coded_slice(6, 1), coded_slice(2, 2, reference=False), coded_slice(4, 2)]
    slices = [[b"\x06\x05\x01", frames[0]], *([frame] for frame in frames[1:])]
    expected = h264(*(annex_b(*units) for units in slices))
    assert expected[0].is_access_point
    packets = [in_mp4(*units, size=size) for units in slices]
    assert headers_of(read_h264, mp4_configuration(size), *packets) == expected
    repeated = in_mp4(sps(), pps(), frames[0], size=size)
    assert headers_of(read_h264, mp4_configuration(size), packets[0], repeated)[1].is_access_point
    with pytest.raises(NotSkippable, match="the configuration changes"):
        headers_of(read_h264, mp4_configuration(size), packets[0], in_mp4(sps(number=1), frames[0], size=size))


@pytest.mark.parametrize(
    ("configuration", "packet"),
    [
        (mp4_configuration(4)[:-1], in_mp4(coded_slice(0, idr=True), size=4)),
        (b"\x01", in_mp4(coded_slice(0, idr=True), size=1)),
        (mp4_configuration(4), in_mp4(coded_slice(0, idr=True), size=4)[:-1]),
        (mp4_configuration(4), in_mp4(coded_slice(0, idr=True), b"", size=4)),
        (mp4_configuration(4), in_mp4(coded_slice(0, idr=True), size=4) + b"\x00\x00"),
    ],
)
def test_h264_with_lengths_that_do_not_fit_is_decoded_in_order(configuration: bytes, packet: bytes) -> None:
    with pytest.raises(NotSkippable, match="to no unit"):
        headers_of(read_h264, configuration, packet)


def cut(number: int, packet: av.Packet) -> bytes | None:
    return bytes(packet)[:-1] if number == 30 else None


def test_an_mp4_whose_units_do_not_fill_a_packet_is_decoded_in_order(clips: Clips, tmp_path: Path) -> None:
    whole = clips.named("h264.mp4")
    with open_clip(whole) as clip:
        assert len(index_packets(clip).pts) == 60
    shorter = clips.remux(whole, tmp_path / "cut.mp4", cut)
    with open_clip(shorter) as clip, pytest.raises(NotSkippable, match="to no unit"):
        index_packets(clip)


def test_h264_with_colours_apart_is_decoded_in_order() -> None:
    fields = [(244, 8), (0, 16), golomb(0), golomb(3), (1, 1), (0, 64)]
    with pytest.raises(NotSkippable, match="damaged, or of a form"):
        h264(annex_b(coded_slice(0, idr=True)), units=[b"\x67" + bits(*fields)])


def test_h264_with_scaling_lists_is_decoded_in_order() -> None:
    fields = [(100, 8), (0, 16), golomb(0), golomb(1), golomb(0), golomb(0), (0, 1), (1, 1), (0, 64)]
    with pytest.raises(NotSkippable, match="damaged, or of a form"):
        h264(annex_b(coded_slice(0, idr=True)), units=[b"\x67" + bits(*fields)])


@pytest.mark.parametrize("chroma", [[golomb(1)], [golomb(0)], [golomb(3), (0, 1)]])
def test_h264_with_a_chroma_format_is_read(chroma: list[tuple[int, int]]) -> None:
    fields = [(100, 8), (0, 16), golomb(0), *chroma, golomb(0), golomb(0), (0, 1), (0, 1)]
    rest = [golomb(0), golomb(0), golomb(2), golomb(1), (0, 1), golomb(9), golomb(5), (1, 1), (1, 8)]
    units = [b"\x67" + bits(*fields, *rest), pps()]
    assert h264(annex_b(coded_slice(7, idr=True)), units=units)[0].order == (1 << 32) + 7


# VP8 and VP9


def test_vp8_headers_are_those_the_decoder_finds(clips: Clips) -> None:
    _, packets = stream_of(clips.named("vp8.webm"))
    frames = headers_of(read_vp8, b"", *packets)
    assert [number for number, frame in enumerate(frames) if frame.is_access_point] == [0, 20, 40]
    assert all(frame.is_shown for frame in frames)
    assert not headers_of(read_vp8, b"", bytes([packets[1][0] & ~16]) + packets[1][1:])[0].is_shown
    with pytest.raises(NotSkippable, match="empty frame"):
        headers_of(read_vp8, b"", b"\x30\x00")


def vp9(*packets: bytes) -> list[PacketHeader]:
    return headers_of(read_vp9, b"", *packets)


def vp9_frame(*, key: bool = False, shown: bool = True, again: bool = False, profile: int = 0) -> bytes:
    fields = [(2, 2), (profile & 1, 1), (profile >> 1, 1), *([(0, 1)] if profile == 3 else []), (again, 1)]
    return bits(*fields, (not key, 1), (shown, 1), (0, 20)) + b"\x41"


def superframe(*frames: bytes) -> bytes:
    marker = bytes([0b110_00_000 | len(frames) - 1])
    return b"".join(frames) + marker + b"".join(bytes([len(frame)]) for frame in frames) + marker


def test_vp9_headers_are_those_the_decoder_finds(clips: Clips) -> None:
    _, packets = stream_of(clips.named("vp9.webm"))
    frames = vp9(*packets)
    assert [number for number, frame in enumerate(frames) if frame.is_access_point] == [0, 20, 40]
    assert all(frame.is_shown for frame in frames)


@pytest.mark.parametrize("profile", range(4))
def test_vp9_profiles_are_told_apart(profile: int) -> None:
    kinds = [{"key": True}, {}, {"shown": False}, {"again": True}]
    headers = vp9(*(vp9_frame(**kind, profile=profile) for kind in kinds))
    assert [header.is_access_point for header in headers] == [True, False, False, False]
    assert [header.is_shown for header in headers] == [True, True, False, True]


def test_vp9_packets_of_several_frames_show_one() -> None:
    hidden = vp9_frame(shown=False)
    packets = superframe(vp9_frame(key=True)), superframe(hidden, vp9_frame()), superframe(hidden, hidden)
    headers = vp9(*packets)
    assert [header.is_access_point for header in headers] == [True, False, False]
    assert [header.is_shown for header in headers] == [True, True, False]


def test_a_vp9_packet_that_ends_like_an_index_is_one_frame() -> None:
    frame = vp9_frame(key=True) + b"\x00\xc9"
    assert vp9(frame) == [PacketHeader(0, is_access_point=True)]


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"\x00\x00\x00\x00", "damaged, or of a form"),
        (superframe(vp9_frame(), vp9_frame()), "not hold one frame"),
        (superframe(vp9_frame(), vp9_frame(again=True)), "not hold one frame"),
    ],
)
def test_vp9_packets_that_have_to_be_decoded_in_order(packet: bytes, why: str) -> None:
    with pytest.raises(NotSkippable, match=why):
        vp9(packet)


# All of them


@settings(max_examples=300)
@given(st.binary(max_size=60), st.lists(st.binary(max_size=40), max_size=3))
def test_any_bytes_are_a_frame_or_have_to_be_decoded_in_order(extradata: bytes, packets: list[bytes]) -> None:
    for read in (read_mpeg4, read_h264, read_vp8, read_vp9):
        for configuration in (extradata, layer(), annex_b(sps(), pps()), mp4_configuration(4), b"\x01" + extradata):
            for start in (b"", VOP, b"\x00\x00\x01\x65", b"\x00\x00\x01\x67", b"\x00\x00\x00\x10\x61"):
                with suppress(NotSkippable):
                    assert len(headers_of(read, configuration, *(start + p for p in packets))) == len(packets)
