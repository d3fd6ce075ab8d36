"""What is no clip, or half of one, is refused in one line that names the file; nothing is printed on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
import pytest
from av.stream import Disposition
from painted_clips import Clips

from phi3v_data.converters.video import Decoder, container, read_frames
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.schema.errors import MediaError

EIGHT = Sampling(frames=8)


def refusal(path: Path, said: str, decoder: Decoder = "auto") -> str:
    with pytest.raises(MediaError, match=said) as caught:
        read_frames(path, EIGHT, decoder=decoder)
    message = str(caught.value)
    assert message.startswith(f"{path.name}: ")
    assert len(message.splitlines()) == 1
    assert str(path.parent) not in message
    return message


def test_a_file_of_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    path.touch()
    refusal(path, "an empty file")


def test_a_folder_with_the_name_of_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "folder.avi"
    path.mkdir()
    refusal(path, "a folder, where a video was expected")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refusal(tmp_path / "gone.avi", "cannot be opened .No such file")


def test_a_file_that_may_not_be_read(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.avi"
    path.write_bytes(clips.named("xvid.avi").read_bytes())

    def refuse(*given: Any, **options: Any) -> None:
        raise av.error.PermissionError(13, "Permission denied")  # what av.open raises; root may read everything

    monkeypatch.setattr(av, "open", refuse)
    refusal(path, "cannot be opened .Permission denied")


def test_a_pipe_with_the_name_of_a_clip_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.avi"
    os.mkfifo(path)
    refusal(path, "not a regular file")


@pytest.mark.parametrize(
    "data", [b"Not a clip, but some words.\n" * 50, bytes(5000), np.random.default_rng(0).bytes(5000)]
)
@pytest.mark.parametrize("suffix", ["avi", "mp4", "txt", "h264"])
def test_something_else_than_a_video(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(data)
    refusal(path, "not a video|damaged|holds no")


def write_sound(path: Path, cover: np.ndarray | None = None) -> Path:
    with av.open(str(path), "w") as made:
        sound = made.add_stream("aac", rate=44100)
        image = None
        if cover is not None:
            image = made.add_stream("mjpeg", rate=25)
            image.height, image.width = cover.shape[:2]
            image.pix_fmt = "yuvj420p"
            image.disposition = Disposition.attached_pic
        if image is not None:
            made.mux(image.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
            made.mux(image.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), format="fltp", layout="stereo")
        frame.rate = 44100
        made.mux(sound.encode(frame))
        made.mux(sound.encode(None))
    return path


def test_sound_alone(tmp_path: Path) -> None:
    refusal(write_sound(tmp_path / "sound.m4a"), "holds no video stream")


def test_sound_with_an_image_on_its_cover(tmp_path: Path, clips: Clips) -> None:
    path = write_sound(tmp_path / "sound.mp4", cover=clips.paint(0))
    with av.open(str(path)) as file:
        assert len(file.streams.video) == 1
    refusal(path, "holds no video stream")


@pytest.mark.parametrize(
    "name",
    [
        "xvid.avi",
        "mpeg4-b-frames.avi",
        "h264-no-b-frames.avi",
        "mjpeg.avi",
        "h264.mp4",
        "h264-at-once.mp4",
        "h264-fragments.mp4",
        "mpeg4.mkv",
        "h264.mkv",
        "vp9.webm",
        "h264.flv",
    ],
)
@pytest.mark.parametrize("part", [0.5, 0.8])
def test_a_clip_cut_short(clips: Clips, tmp_path: Path, name: str, part: float) -> None:
    if name == "h264-at-once.mp4":
        whole = clips.remux(clips.named("h264.mp4"), tmp_path / "whole.mp4", keep, movflags="faststart")
    else:
        whole = clips.named(name)
    path = tmp_path / name
    data = whole.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    refusal(path, "cut short|damaged")


def keep(number: int, packet: av.Packet) -> None:
    return None


def test_a_clip_cut_between_two_frames_says_how_many_are_there(clips: Clips, tmp_path: Path) -> None:
    data = clips.named("xvid.avi").read_bytes()
    chunk = data.index(b"movi")
    for _ in range(20):
        chunk = data.index(b"00dc", chunk + 1)
    path = tmp_path / "xvid.avi"
    path.write_bytes(data[:chunk])
    refusal(path, "cut short, 19 of 60 frames are there$")


def test_a_clip_cut_between_two_frames_says_when_it_ends(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "h264.flv"
    path.write_bytes(clips.named("h264.flv").read_bytes()[: clips.packet("h264.flv", 40).pos])
    refusal(path, r"cut short, 1\.\d of 2\.5 seconds are there$")


def test_damage_that_ffmpeg_passes_over_is_reported(clips: Clips, tmp_path: Path) -> None:
    """Without it, the clip would seem to have fewer frames; the second of two such clips is as bad as the first."""
    data = bytearray(clips.named("mpeg4.mkv").read_bytes())
    data[3000:3400] = bytes(400)
    for number in range(2):
        path = tmp_path / f"{number}.mkv"
        path.write_bytes(data)
        refusal(path, r"damaged \(.* invalid as first byte")


def test_what_ffmpeg_logs_elsewhere_stays_as_it_was(clips: Clips) -> None:
    av.logging.set_level(av.logging.WARNING)
    try:
        read_frames(clips.named("xvid.avi"), EIGHT)
        assert av.logging.get_level() == av.logging.WARNING
        assert av.logging.get_skip_repeated()
    finally:
        av.logging.set_level(None)


def test_frames_lost_in_the_middle_of_an_avi_are_missed(clips: Clips, tmp_path: Path) -> None:
    data = clips.named("xvid.avi").read_bytes()
    at = data.index(b"movi")
    for _ in range(30):
        at = data.index(b"00dc", at + 1)
    after = data.index(b"00dc", at + 1)
    path = tmp_path / "xvid.avi"
    path.write_bytes(data[:at] + data[after:])
    refusal(path, "59 of 60 frames")


@pytest.mark.parametrize("name", ["h264.ts", "h264-no-times.h264"])
def test_a_clip_whose_container_states_no_length_is_counted(clips: Clips, tmp_path: Path, name: str) -> None:
    packets = []
    clips.remux(
        clips.named(name), tmp_path / f"whole{Path(name).suffix}", lambda number, packet: packets.append(packet)
    )
    part = clips.remux(
        clips.named(name), tmp_path / f"part{Path(name).suffix}", lambda number, _: [] if number >= 31 else None
    )
    expected = clips.in_order(part)
    assert len(packets) == 60
    assert 28 <= len(expected) <= 31
    frames = read_frames(part, Sampling(frames=1000))
    assert len(frames) == len(expected)
    assert all(np.array_equal(frame.pixels, expected[frame.index]) for frame in frames)


def test_frames_dropped_in_recording_are_not_taken_for_a_cut(clips: Clips, tmp_path: Path) -> None:
    """An AVI states them among its frames; they have no packet."""

    def drop(number: int, packet: av.Packet) -> list[bytes] | None:
        return [] if number % 12 in (3, 7) else None

    path = clips.remux(clips.named("xvid.avi"), tmp_path / "dropped.avi", drop)
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == 60
    frames = read_frames(path, Sampling(frames=1000))
    assert len(frames) == 50
    times = [number * 1001 / 30000 for number in range(60) if number % 12 not in (3, 7)]
    assert [frame.time for frame in frames] == pytest.approx(times)


def wipe(number: int, packet: av.Packet) -> bytes | None:
    data = bytes(packet)
    return data[:40] + bytes(b ^ 0x5A for b in data[40:]) if number == 26 else None


@pytest.mark.parametrize("name", ["xvid.avi", "h264.mp4", "h264-open-gop.mp4", "mpeg2.ts"])
def test_a_frame_that_cannot_be_decoded_whole(clips: Clips, tmp_path: Path, name: str) -> None:
    path = clips.remux(clips.named(name), tmp_path / name, wipe)
    with pytest.raises(MediaError, match="damaged"):
        read_frames(path, Sampling(frames=60))


@pytest.mark.real_data
@pytest.mark.parametrize("decoder", ["pyav", "opencv", "decord"])
def test_a_damaged_real_clip(real_data: Path, decoder: Decoder) -> None:
    refusal(real_data / "corrupt" / "corrupted.mp4", "damaged", decoder=decoder)


@pytest.mark.real_data
def test_packets_out_of_order_are_decoded(clips: Clips, real_data: Path) -> None:
    path = real_data / "corrupt" / "unordered.mov"
    frames = read_frames(path, EIGHT)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert all(np.array_equal(frame.pixels, clips.in_order(path)[frame.index]) for frame in frames)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{clip}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{clip}'\n",
    ],
    ids=["playlist", "list of parts"],
)
@pytest.mark.parametrize("suffix", ["avi", "m3u8", "ffconcat"])
def test_a_file_that_makes_ffmpeg_open_others(clips: Clips, tmp_path: Path, text: str, suffix: str) -> None:
    (tmp_path / "part.ts").write_bytes(clips.named("h264.ts").read_bytes())
    path = tmp_path / f"list.{suffix}"
    path.write_text(text.format(clip="part.ts"))
    refusal(path, "not a video")


def test_an_index_of_more_frames_than_the_file_has_bytes(clips: Clips, tmp_path: Path) -> None:
    data = bytearray(clips.named("h264-fragments.mp4").read_bytes())
    flags = data.rindex(b"trun") + 4
    # Nothing is stated of each sample of the last fragment, and there are a million.
    data[flags : flags + 8] = bytes(4) + (1_000_000).to_bytes(4, "big")
    path = tmp_path / "many.mp4"
    path.write_bytes(data)
    refusal(path, r"damaged \(its index names 1,000,\d+ frames, more than it has bytes\)")


def test_frames_of_too_many_pixels(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_PIXELS", 96 * 160 - 1)
    refusal(clips.named("xvid.avi"), "frames of 160x96, more than 15359 pixels")


@pytest.mark.parametrize(
    "name",
    ["ünï cödé ユニ.avi", "a b.avi", "a%03d.avi", "concat:a|b.avi", "http:x.avi", "-i.avi", "new\nline.avi"],
)
@pytest.mark.parametrize("decoder", ["pyav", "opencv", "decord"])
def test_a_clip_may_have_any_name(
    clips: Clips, tmp_path: Path, name: str | bytes, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.write_bytes(clips.named("xvid.avi").read_bytes())
    assert len(read_frames(path, EIGHT, decoder=decoder)) == 8


def test_a_name_need_not_be_text(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.avi")
    path.write_bytes(clips.named("xvid.avi").read_bytes())
    assert len(read_frames(path, EIGHT)) == 8
    decoders: tuple[Decoder, ...] = ("opencv", "decord")
    for decoder in decoders:
        with pytest.raises(MediaError, match="names are not text; choose pyav"):
            read_frames(path, EIGHT, decoder=decoder)


def test_a_name_with_a_new_line_still_gives_one_line(tmp_path: Path) -> None:
    path = tmp_path / "new\nline.avi"
    path.touch()
    with pytest.raises(MediaError) as caught:
        read_frames(path, EIGHT)
    assert str(caught.value).startswith("'new\\nline.avi': an empty file")


@pytest.mark.parametrize("decoder", ["pyav", "opencv", "decord"])
def test_nothing_is_printed_about_damage(
    clips: Clips, tmp_path: Path, decoder: Decoder, capfd: pytest.CaptureFixture[str]
) -> None:
    path = clips.remux(clips.named("xvid.avi"), tmp_path / "damaged.avi", wipe)
    read_frames(path, Sampling(strategy="keyframes"), decoder=decoder)
    (tmp_path / "words.avi").write_text("words")
    for bad in (path, tmp_path / "words.avi"):
        with pytest.raises(MediaError):
            read_frames(bad, Sampling(frames=60), decoder=decoder)
    assert capfd.readouterr() == ("", "")
