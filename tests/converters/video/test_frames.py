"""The frames of a clip: exactly those of decoding it in order, however they are reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from painted_clips import Clips

from phi3v_data.converters.video import container, pyav_frames, read_frames
from phi3v_data.converters.video.pyav_frames import PacketIndex
from phi3v_data.converters.video.sampling import ClipTable, Sampling
from phi3v_data.schema.errors import MediaError

POLICIES = [
    Sampling(frames=1),
    Sampling(frames=8),
    Sampling(frames=13),
    Sampling(frames=60),
    Sampling(frames=67),
    Sampling(strategy="segment", frames=1),
    Sampling(strategy="segment", frames=7),
    Sampling(strategy="fps", fps=5, frames=100),
    Sampling(strategy="keyframes", frames=3),
    Sampling(frames=9, jitter=True, seed=1),
]
REAL = ["v_SoccerJuggling_g23_c01.avi", "RATRACE_wave_f_nm_np1_fr_goo_37.avi", "R6llTwEh07w.mp4", "rotated_90.mov"]


def assert_same_as_in_order(path: Path, in_order: list[np.ndarray], policy: Sampling) -> list[int]:
    frames = read_frames(path, policy, key="a", jitter=True)
    for frame in frames:
        assert np.array_equal(frame.pixels, in_order[frame.index]), (frame.index, policy)
    numbers = [frame.index for frame in frames]
    if policy.strategy in ("uniform", "segment"):
        assert len(numbers) == min(policy.frames, len(in_order))
    assert numbers == sorted(set(numbers))
    return numbers


def declared_keys(path: Path) -> list[int]:
    with av.open(str(path)) as file:
        return [number for number, packet in enumerate(file.demux(video=0)) if packet.is_keyframe]


def test_frames_are_bit_for_bit_those_of_decoding_in_order(clips: Clips, clip_name: str) -> None:
    path = clips.named(clip_name)
    for policy in POLICIES:
        assert_same_as_in_order(path, clips.in_order(path), policy)


def test_the_number_painted_into_a_frame_is_its_own(clips: Clips, clip_name: str) -> None:
    frames = read_frames(clips.named(clip_name), Sampling(frames=clips.frames))
    assert [clips.number(frame.pixels) for frame in frames] == list(range(clips.frames))


def test_frames_are_skipped_in_these_clips_and_no_others(clips: Clips, clip_name: str) -> None:
    assert pyav_frames.decode(clips.named(clip_name), lambda _: [30]).skipped == clips.is_skippable(clip_name)


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_frames_of_real_clips_are_bit_for_bit_those_of_decoding_in_order(
    clips: Clips, real_data: Path, name: str
) -> None:
    path = real_data / "video" / name
    in_order = clips.in_order(path)
    if name == "rotated_90.mov":
        in_order = [np.rot90(pixels, -1) for pixels in in_order]
    for policy in [*POLICIES, Sampling(frames=31), Sampling(frames=len(in_order) - 1), Sampling(frames=1000)]:
        assert_same_as_in_order(path, in_order, policy)


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_frames_are_skipped_in_real_clips_but_packed_ones(real_data: Path, name: str) -> None:
    decoded = pyav_frames.decode(real_data / "video" / name, lambda _: [0])
    assert decoded.skipped == (not name.startswith("RATRACE"))


@pytest.mark.real_data
def test_a_key_frame_that_a_real_file_only_declares_is_not_one(real_data: Path) -> None:
    path = real_data / "video" / "RATRACE_wave_f_nm_np1_fr_goo_37.avi"
    assert declared_keys(path) == [0, 1]
    assert [frame.index for frame in read_frames(path, Sampling(strategy="keyframes"))] == [0]


@pytest.mark.real_data
def test_a_clip_turned_by_its_metadata_stands_upright_as_opencv_turns_it(real_data: Path) -> None:
    import cv2

    path = real_data / "video" / "rotated_90.mov"
    frame = read_frames(path, Sampling(frames=1))[0]
    is_there, expected = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).read()
    assert is_there
    assert frame.pixels.shape == (568, 320, 3)
    assert np.array_equal(frame.pixels, expected[:, :, ::-1])


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_turned_clip_stands_upright(clips: Clips, tmp_path: Path, turn: int) -> None:
    path = clips.write(tmp_path / "turned.mp4", 3, turn=turn)
    for frame in read_frames(path, Sampling(frames=3)):
        assert np.array_equal(frame.pixels, np.rot90(clips.in_order(path)[frame.index], turn // 90))


@pytest.mark.parametrize(("aspect", "width"), [((4, 3), 213), ((8, 9), 142)])
@pytest.mark.parametrize("suffix", ["avi", "mp4", "mkv"])
def test_oblong_pixels_are_made_square(
    clips: Clips, tmp_path: Path, suffix: str, aspect: tuple[int, int], width: int
) -> None:
    from fractions import Fraction

    path = clips.write(tmp_path / f"oblong.{suffix}", 3, pixel_aspect=Fraction(*aspect))
    for frame in read_frames(path, Sampling(frames=3)):
        assert frame.pixels.shape == (96, width, 3)
        stored = clips.in_order(path)[frame.index]
        assert abs(frame.pixels.mean() - stored.mean()) < 1


@pytest.mark.parametrize("name", ["h264-uneven.mkv", "h264-uneven.mp4"])
def test_times_are_those_of_the_container(clips: Clips, name: str) -> None:
    frames = read_frames(clips.named(name), Sampling(frames=clips.frames))
    assert [frame.time for frame in frames] == pytest.approx(clips.uneven_times, abs=1e-4)


def test_fps_follows_the_times_of_a_clip_without_a_rate(clips: Clips) -> None:
    frames = read_frames(clips.named("h264-uneven.mkv"), Sampling(strategy="fps", fps=2, frames=99))
    times = clips.uneven_times
    shown = {max(n for n, time in enumerate(times) if time <= tick / 2) for tick in range(int(2 * times[-1]) + 1)}
    assert {frame.index for frame in frames} == shown


@pytest.mark.parametrize("name", ["h264-no-times.h264", "h264.ts", "xvid.avi", "h264-live.mkv"])
def test_times_begin_at_the_first_frame_and_go_by_the_rate(clips: Clips, name: str) -> None:
    rate = 30000 / 1001 if name == "xvid.avi" else 25
    frames = read_frames(clips.named(name), Sampling(frames=clips.frames))
    assert [frame.time for frame in frames] == pytest.approx([number / rate for number in range(60)], abs=1e-3)


@pytest.mark.parametrize("name", ["h264.mp4", "xvid.avi", "hevc.mp4"])
def test_a_clip_too_long_to_keep_gives_the_same_frames(
    clips: Clips, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.named(name)
    monkeypatch.setattr(container, "HELD", 1000)
    monkeypatch.setattr(pyav_frames, "HELD", 100_000)
    for policy in POLICIES:
        assert_same_as_in_order(path, clips.in_order(path), policy)


@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4"])
def test_packets_are_decoded_as_they_are_read(clips: Clips, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "HELD", 1000)
    read = []
    genuine = container.Clip.packets

    def packets(clip: container.Clip) -> Iterator[av.Packet]:
        for packet in genuine(clip):
            read.append(packet.pts)
            yield packet

    monkeypatch.setattr(container.Clip, "packets", packets)
    with container.open_clip(clips.named(name)) as clip:
        next(clip.decode(set(range(60))))
        assert len(read) < 10


def swap_two_frames(index: PacketIndex) -> PacketIndex:
    pts = list(index.pts)
    pts[3], pts[33] = pts[33], pts[3]
    return index._replace(pts=pts)


def forget_a_frame(index: PacketIndex) -> PacketIndex:
    return index._replace(packets=index.packets[1:], pts=index.pts[1:])


@pytest.mark.parametrize("change", [swap_two_frames, forget_a_frame])
@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm"])
def test_where_the_decoder_does_not_output_what_was_expected_the_clip_is_decoded_in_order(
    clips: Clips, name: str, change: Callable[[PacketIndex], PacketIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.named(name)
    genuine = pyav_frames.index_packets
    monkeypatch.setattr(pyav_frames, "index_packets", lambda clip: change(genuine(clip)))
    assert not pyav_frames.decode(path, lambda _: [3, 33]).skipped
    assert_same_as_in_order(path, clips.in_order(path), Sampling(frames=60))


@pytest.mark.parametrize("name", ["h264.mp4", "xvid.avi"])
def test_where_the_decoder_reports_damage_the_clip_is_decoded_in_order(
    clips: Clips, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.named(name)

    def fail(clip: container.Clip, needed: set[int] | None = None) -> Iterator[av.VideoFrame]:
        if needed is not None:
            raise av.error.InvalidDataError(1, "invalid data")
        yield from genuine(clip)

    genuine = container.Clip.decode
    monkeypatch.setattr(container.Clip, "decode", fail)
    assert not pyav_frames.decode(path, lambda _: [30]).skipped
    assert_same_as_in_order(path, clips.in_order(path), Sampling(frames=8))


def test_frames_that_an_edit_list_cuts_away_are_not_counted(clips: Clips, tmp_path: Path) -> None:
    def earlier(number: int, packet: av.Packet) -> None:
        cut = int(10 / 25 / packet.time_base)
        packet.pts -= cut
        packet.dts -= cut

    path = clips.remux(clips.named("h264.mp4"), tmp_path / "cut.mp4", earlier, avoid_negative_ts="disabled")
    with av.open(str(path)) as file:
        assert sum(packet.is_discard for packet in file.demux(video=0)) == 10
    frames = read_frames(path, Sampling(frames=1000))
    assert [clips.number(frame.pixels) for frame in frames] == list(range(10, 60))
    assert pyav_frames.decode(path, lambda _: [0]).skipped


def test_frames_that_are_decoded_and_not_shown_are_not_counted(clips: Clips, tmp_path: Path) -> None:
    def hide(number: int, packet: av.Packet) -> bytes | None:
        data = bytes(packet)
        return bytes([data[0] & ~16]) + data[1:] if number % 10 == 3 else None

    path = clips.remux(clips.named("vp8.webm"), tmp_path / "hidden.webm", hide)
    shown = [number for number in range(60) if number % 10 != 3]
    frames = read_frames(path, Sampling(frames=1000))
    assert [clips.number(frame.pixels) for frame in frames] == shown
    assert pyav_frames.decode(path, lambda _: [0]).skipped
    assert_same_as_in_order(path, clips.in_order(path), Sampling(frames=8))


def test_wrong_key_frame_flags_change_nothing(clips: Clips, tmp_path: Path) -> None:
    def set_wrong_flags(number: int, packet: av.Packet) -> None:
        packet.is_keyframe = number % 7 == 0

    path = clips.remux(clips.named("mpeg4.mp4"), tmp_path / "wrong.mp4", set_wrong_flags)
    assert declared_keys(path)[:3] == [0, 7, 14]
    assert pyav_frames.decode(path, lambda _: [0]).skipped
    assert_same_as_in_order(path, clips.in_order(path), Sampling(frames=8))
    assert [frame.index for frame in read_frames(path, Sampling(strategy="keyframes"))] == [0, 12, 24, 36, 48]


def test_a_recovery_point_is_not_a_key_frame(clips: Clips) -> None:
    """After one, frames may still refer to what came before it."""
    path = clips.named("h264-open-gop.mp4")
    assert len(declared_keys(path)) > 1
    assert [frame.index for frame in read_frames(path, Sampling(strategy="keyframes"))] == [0]


def shift_pts(number: int, packet: av.Packet) -> None:
    if number == 21:
        packet.pts += int(3 / 25 / packet.time_base)


def drop_the_first(number: int, packet: av.Packet) -> list[bytes] | None:
    return [] if number == 0 else None


@pytest.mark.parametrize(
    ("name", "change"), [("h264.mkv", shift_pts), ("xvid.avi", drop_the_first), ("h264.ts", drop_the_first)]
)
def test_files_with_wrong_pts_or_without_their_first_packet_are_decoded_in_order(
    clips: Clips, tmp_path: Path, name: str, change: Callable[[int, av.Packet], Any]
) -> None:
    path = clips.remux(clips.named(name), tmp_path / f"odd{Path(name).suffix}", change)
    assert not pyav_frames.decode(path, lambda _: [0]).skipped
    for policy in POLICIES[1:4]:
        assert_same_as_in_order(path, clips.in_order(path), policy)


def test_a_policy_that_finds_no_frame_is_an_error_of_one_line(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClipTable, "keys", ())
    with pytest.raises(MediaError, match="no key frame"):
        read_frames(clips.named("hevc.mp4"), Sampling(strategy="keyframes"))
