"""Thousands of clips, whole and mutated, against a sequential decode of each: no frame may differ.

    PHI3V_DIFFERENTIAL_CLIPS=50000 PHI3V_DIFFERENTIAL_SEED=7 pytest tests/converters/video/test_differential.py

A clip is one of the kinds below or a mutation of it: bytes (often of headers), packets, PTS and key frame flags are
changed at random. Where the sequential decode reports no damage, everything has to be equal: the number of frames,
their times, their pixels. Where it does, the clip is refused, or every frame taken is, by its PTS, one of the
sequential decode or of the clip before the mutation: libavcodec carries some damage beyond the next access point, and
skipping leaves out both.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from phi3v_data.converters.video import pyav_frames
from phi3v_data.converters.video.sampling import ClipTable
from phi3v_data.converters.video.synthesis import write_clip
from phi3v_data.schema.errors import MediaError

CLIPS = int(os.environ.get("PHI3V_DIFFERENTIAL_CLIPS", "3000"))
SEED = int(os.environ.get("PHI3V_DIFFERENTIAL_SEED", "0"))
FRAMES = 26
VOP = b"\x00\x00\x01\xb6"


def x264(params: str = "", gop: int = 8, b_frames: int = 2, **more: Any) -> dict[str, Any]:
    options = {"preset": "veryfast", "x264-params": f"scenecut=0:{params}"}
    return {"codec": "libx264", "gop": gop, "b_frames": b_frames, "options": options, **more}


def vpx(codec: str, **options: str) -> dict[str, Any]:
    return {"codec": codec, "gop": 8, "options": {"deadline": "realtime", "cpu-used": "8", "b": "200k", **options}}


ALT_REF = {"auto-alt-ref": "1", "lag-in-frames": "12", "deadline": "good", "arnr-maxframes": "3"}
KINDS: dict[str, dict[str, Any]] = {
    "mpeg4.avi": {"gop": 6},
    "mpeg4.mp4": {"gop": 6},
    "mpeg4.mkv": {"gop": 6},
    "mpeg4-b.avi": {"gop": 8, "b_frames": 2},
    "mpeg4-b.mp4": {"gop": 8, "b_frames": 2},
    "mpeg4-closed-gop.mp4": {"gop": 8, "b_frames": 1, "options": {"flags": "+bitexact+cgop"}},
    "mpeg4-four-vectors.avi": {"gop": 6, "options": {"flags": "+bitexact+mv4+aic"}},
    "mpeg4-interlaced.avi": {"gop": 6, "options": {"flags": "+bitexact+ildct+ilme"}},
    "mpeg4-partitioned.avi": {"gop": 6, "options": {"data_partitioning": "1"}},
    "h264.mp4": x264(),
    "h264.mkv": x264(),
    "h264.ts": x264(),
    "h264.flv": x264(),
    "h264.avi": x264(),
    "h264.h264": x264(),
    "h264-baseline.mp4": x264(b_frames=0, params="cabac=0:8x8dct=0:ref=2"),
    "h264-baseline.avi": x264(b_frames=0, params="cabac=0:8x8dct=0:ref=2"),
    "h264-open-gop.mp4": x264("open-gop=1"),
    "h264-open-gop.ts": x264("open-gop=1:b-pyramid=strict"),
    "h264-pyramid.mp4": x264("b-pyramid=normal:ref=5:b-adapt=0", b_frames=5, gop=13),
    "h264-slices.mp4": x264("slices=3"),
    "h264-slices.ts": x264("slices=3"),
    "h264-intra-refresh.mp4": x264("intra-refresh=1", b_frames=0),
    "h264-interlaced.mp4": x264("tff=1"),
    "h264-fake-interlaced.mp4": x264("fake-interlaced=1"),
    "h264-scaling-lists.mp4": x264("cqm=jvt"),
    "h264-weighted.mkv": x264("weightp=2:weightb=1:aud=1:repeat-headers=1"),
    "h264-uneven.mkv": x264(times=[0.04 * n + 0.013 * (n % 3) for n in range(FRAMES)]),
    "h264-444.mp4": x264(pixel_format="yuv444p"),
    "h264-fragments.mp4": x264(container_options={"movflags": "frag_keyframe+empty_moov"}),
    "vp8.webm": vpx("libvpx"),
    "vp8-resilient.mkv": vpx("libvpx", **{"error-resilient": "1"}),
    "vp8-alt-ref.webm": vpx("libvpx", **ALT_REF),
    "vp9.webm": vpx("libvpx-vp9"),
    "vp9.mp4": vpx("libvpx-vp9"),
    "vp9-alt-ref.webm": vpx("libvpx-vp9", **ALT_REF),
    "vp9-444.webm": vpx("libvpx-vp9") | {"pixel_format": "yuv444p"},
    "hevc.mp4": {"codec": "libx265", "gop": 8, "options": {"preset": "ultrafast", "x265-params": "log-level=none"}},
    "mpeg2.ts": {"codec": "mpeg2video", "gop": 8, "b_frames": 2},
    "mpeg1.mpg": {"codec": "mpeg1video", "gop": 8, "b_frames": 1},
    "h263.flv": {"codec": "flv", "gop": 8},
    "msmpeg4.avi": {"codec": "msmpeg4", "gop": 8},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}


class Clip(NamedTuple):
    """A clip: a file to copy its stream's parameters from, its packets in decoding order, and the frames they give."""

    source: Path
    packets: list[av.Packet]
    frames: dict[int | None, np.ndarray]


class Sequential(NamedTuple):
    """What a sequential decode gives: each frame's PTS, pixels, and whether it is damaged; whether a packet failed."""

    codec: str

    pts: list[int | None]
    pixels: list[np.ndarray]
    damaged: list[bool]
    failed: bool
    time_base: Fraction


def sequential(path: Path, hold: list[av.VideoFrame] | None = None) -> Sequential:
    """Decode every packet from the first to the last, going on after errors; keep the decoder's memory in `hold`."""
    pts: list[int | None] = []
    pixels: list[np.ndarray] = []
    damaged: list[bool] = []
    failed = False
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in [*(p for p in container.demux(stream) if p.size), None]:
            try:
                for frame in stream.codec_context.decode(packet):
                    if hold is not None:
                        hold.append(frame)
                    pts.append(frame.pts)
                    pixels.append(frame.to_ndarray(format="rgb24"))
                    damaged.append(frame.is_corrupt)
            except av.FFmpegError:
                failed = True
        return Sequential(stream.codec_context.name, pts, pixels, damaged, failed, stream.time_base)


def difference(clip: Clip, path: Path, wanted: Callable[[int], list[int]]) -> str | None:
    """Compare the frames wanted of a clip, written to `path`, with a sequential decode; say what differs."""
    try:
        taken = pyav_frames.decode(path, lambda table: wanted(len(table.times)))
    except MediaError:
        return None
    expected = sequential(path)
    is_damaged = expected.failed or any(expected.damaged)
    if not is_damaged and len(taken.table.times) != len(expected.pts):
        return f"{len(taken.table.times)} of {len(expected.pts)} frames"
    if not is_damaged and not same_times(taken.table, expected):
        return "other times"
    for (number, pixels), frame in zip(taken.stored_pixels(), taken.frames.values(), strict=True):
        if is_damaged:
            places = [place for place, pts in enumerate(expected.pts) if pts == frame.pts]
            # In MPEG-4, what libavcodec takes for damage depends on the ends of all packets before.
            is_doubtful = expected.codec == "mpeg4" and any(expected.damaged[: max(places, default=number) + 1])
            accepted = [expected.pixels[place] for place in places] + [clip.frames.get(frame.pts, pixels)]
        else:
            is_doubtful = False
            accepted = [expected.pixels[number]]
        if not (
            any(map(partial(np.array_equal, pixels), accepted)) or is_doubtful or not is_reproducible(path, expected)
        ):
            return f"frame {number} differs{' (damaged clip)' if is_damaged else ''}, skipped={taken.skipped}"
    return None


def is_reproducible(path: Path, decoded: Sequential) -> bool:
    """Whether a damaged clip's frames depend on the clip alone: libavcodec's VP8 also reads memory it used before."""
    again = sequential(path, hold=[])
    return all(np.array_equal(one, other) for one, other in zip(decoded.pixels, again.pixels, strict=True))


def same_times(table: ClipTable, expected: Sequential) -> bool:
    known = [pts for pts in expected.pts if pts is not None]
    if len(known) < len(expected.pts) or known != sorted(set(known)):
        return True  # times follow from the rate
    return list(table.times) == [float((pts - known[0]) * expected.time_base) for pts in known] or np.allclose(
        table.times, [float((pts - known[0]) * expected.time_base) for pts in known], atol=1e-9
    )


def moving(count: int, seed: int) -> list[np.ndarray]:
    """Frames of a texture that moves, 64x48."""
    texture = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.roll(texture, (3 * n, 5 * n), (0, 1))[:48, :64].copy() for n in range(count)]


def packets_of(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def copied(packet: av.Packet, data: bytes | None = None) -> av.Packet:
    copy = av.Packet(bytes(packet) if data is None else data)
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
    return copy


def write(source: Path, path: Path, packets: list[av.Packet]) -> None:
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as given, av.open(str(path), "w", container_options=options) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in packets:
            packet.stream = stream
            made.mux(packet)


# Mutations of packets


def flip_bytes(chance: random.Random, packets: list[av.Packet]) -> None:
    for _ in range(chance.randint(1, 3)):
        change_data(chance, packets, lambda data: chance.randrange(len(data)))


def flip_headers(chance: random.Random, packets: list[av.Packet]) -> None:
    change_data(chance, packets, lambda data: chance.randrange(min(14, len(data))))


def change_data(chance: random.Random, packets: list[av.Packet], place: Callable[[bytearray], int]) -> None:
    number = chance.randrange(len(packets))
    data = bytearray(bytes(packets[number]))
    data[place(data)] ^= 1 << chance.randrange(8)
    packets[number] = copied(packets[number], bytes(data))


def truncate(chance: random.Random, packets: list[av.Packet]) -> None:
    number = chance.randrange(len(packets))
    data = bytes(packets[number])
    packets[number] = copied(packets[number], data[: chance.randint(1, len(data))])


def drop(chance: random.Random, packets: list[av.Packet]) -> None:
    start = chance.randrange(len(packets))
    del packets[start : start + chance.choice([1, 1, 2, 9])]
    if not packets:
        raise ValueError("nothing is left")


def repeat_data(chance: random.Random, packets: list[av.Packet]) -> None:
    """Put a packet's data in the place of another's, or behind it in the same packet."""
    one, other = chance.randrange(len(packets)), chance.randrange(len(packets))
    before = bytes(packets[other]) if chance.random() < 0.5 else b""
    packets[other] = copied(packets[other], before + bytes(packets[one]))


def swap_data(chance: random.Random, packets: list[av.Packet]) -> None:
    one = chance.randrange(len(packets))
    other = min(len(packets) - 1, one + chance.choice([1, 1, 2, 8]))
    first, second = packets[one], packets[other]
    packets[one], packets[other] = copied(first, bytes(second)), copied(second, bytes(first))


def swap_pts(chance: random.Random, packets: list[av.Packet]) -> None:
    one = chance.randrange(len(packets))
    other = min(len(packets) - 1, one + chance.choice([1, 1, 2, 8]))
    packets[one].pts, packets[other].pts = packets[other].pts, packets[one].pts


def shift_pts(chance: random.Random, packets: list[av.Packet]) -> None:
    packet = chance.choice(packets)
    if packet.pts is not None:
        packet.pts += chance.choice([-2, -1, 1, 2, 3]) * (packet.duration or 1) // chance.choice([1, 1, 2])


def cut_away_the_start(chance: random.Random, packets: list[av.Packet]) -> None:
    """Begin before time 0: the container then says that the first frames are decoded and not shown."""
    distance = chance.randint(1, 12) * (packets[0].duration or 1)
    for packet in packets:
        packet.pts = None if packet.pts is None else packet.pts - distance
        packet.dts = None if packet.dts is None else packet.dts - distance


def wrong_key_flags(chance: random.Random, packets: list[av.Packet]) -> None:
    for packet in packets[1:]:
        packet.is_keyframe = chance.random() < 0.3


def nothing(chance: random.Random, packets: list[av.Packet]) -> None:
    pass


MUTATIONS = [
    nothing, flip_bytes, flip_headers, flip_headers, flip_headers, truncate, drop, repeat_data, swap_data, swap_pts,
    shift_pts, cut_away_the_start, wrong_key_flags,
]  # fmt: skip


def packed(packets: list[av.Packet]) -> list[av.Packet]:
    """Put B frames behind the frame they are decoded after, as DivX does, and an empty frame in their place."""
    made: list[av.Packet] = []
    empty = VOP + b"\x50\x3f\x7f"
    for packet in packets:
        data = bytes(packet)
        at = data.find(VOP)
        if data[at + 4] >> 6 == 2 and made:
            made[-1] = copied(made[-1], bytes(made[-1]) + data)
            made.append(copied(packet, empty))
        else:
            mark = b"" if made else b"\x00\x00\x01\xb2DivX503b1393p"
            made.append(copied(packet, data[:at] + mark + data[at:]))
    return made


def with_empty_frames(packets: list[av.Packet]) -> list[av.Packet]:
    """Say of some frames that they are not coded: bit 24 of a VOP of 25 ticks with no second passed."""
    made = []
    for number, packet in enumerate(packets):
        data = bytearray(bytes(packet))
        at = data.find(VOP) + 4
        if number % 5 == 2 and at == 4:
            made.append(copied(packet, bytes(data[: at + 1] + bytes([data[at + 1] & ~0x20, 0x7F]))))
        else:
            made.append(copied(packet))
    return made


def read_clip(path: Path, packets: list[av.Packet]) -> Clip:
    whole = path.with_name(f"whole-{path.name}")
    write(path, whole, list(map(copied, packets)))
    frames = sequential(whole)
    return Clip(path, packets, dict(zip(frames.pts, frames.pixels, strict=True)))


def one_after_another(first: list[av.Packet], second: list[av.Packet]) -> list[av.Packet]:
    """Join two streams, so that the configuration changes on the way."""
    distance = FRAMES * round(Fraction(1, 25) / first[0].time_base)
    moved = list(map(copied, second))
    for packet in moved:
        packet.pts = None if packet.pts is None else packet.pts + distance
        packet.dts = None if packet.dts is None else packet.dts + distance
    return first + moved


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    folder = tmp_path_factory.mktemp("sources")

    def made(name: str, **options: Any) -> list[av.Packet]:
        return packets_of(write_clip(folder / name, moving(FRAMES, len(name)), **options))

    clips = {name: read_clip(folder / name, made(name, **options)) for name, options in KINDS.items()}
    packets = {
        "mpeg4-packed.avi": packed(made("mpeg4-packed.avi", gop=8, b_frames=1)),
        "mpeg4-empty-frames.avi": with_empty_frames(made("mpeg4-empty-frames.avi", gop=6)),
        "mpeg4-two-configurations.avi": one_after_another(
            made("mpeg4-two-configurations.avi", gop=6), made("other.avi", gop=6, options={"mpeg_quant": "1"})
        ),
        "h264-two-configurations.ts": one_after_another(
            made("h264-two-configurations.ts", **x264()), made("other.ts", **x264("cabac=0:ref=1:8x8dct=0", b_frames=0))
        ),
    }
    return clips | {name: read_clip(folder / name, given) for name, given in packets.items()}


def compare(clips: dict[str, Clip], folder: Path, total: int) -> list[str]:
    """Mutate the clips in turn, `total` times; return what differs."""
    found: list[str] = []
    compared = 0
    for number in count():
        chance = random.Random(f"{SEED} {number}")
        name = list(clips)[number % len(clips)]
        mutate = MUTATIONS[number // len(clips) % len(MUTATIONS)]
        packets = list(map(copied, clips[name].packets))
        try:
            mutate(chance, packets)
            write(clips[name].source, folder / name, packets)
        except (ValueError, av.FFmpegError):
            continue  # the container does not take it
        taken = chance.choice([1, 2, 3, 8])
        choose = partial(some_frames, chance, taken)
        if differs := difference(clips[name], folder / name, choose):
            found.append(f"{number} {name} {mutate.__name__}: {differs}")
        compared += 1
        if compared == total:
            break
    return found


def some_frames(chance: random.Random, taken: int, total: int) -> list[int]:
    return sorted({chance.randrange(total) for _ in range(taken)})


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_frame_of_thousands_of_clips_differs_from_a_sequential_decode(
    sources: dict[str, Clip], tmp_path: Path
) -> None:
    assert not compare(sources, tmp_path, CLIPS)


@pytest.mark.soak
@pytest.mark.real_data
@pytest.mark.timeout(0)
def test_no_frame_of_mutated_real_clips_differs_from_a_sequential_decode(
    real_data: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("real")
    clips = {}
    for path in sorted((real_data / "video").iterdir()):
        link = folder / path.name
        link.symlink_to(path)
        clips[path.name] = read_clip(link, packets_of(path)[:FRAMES])
    assert not compare(clips, tmp_path, CLIPS // 20)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["corrupt/corrupted.mp4", "corrupt/unordered.mov"])
def test_no_frame_of_a_damaged_real_clip_differs_from_a_sequential_decode(real_data: Path, name: str) -> None:
    path = real_data / name
    chance = random.Random(SEED)
    for taken in (1, 2, 8):
        assert difference(Clip(path, [], {}), path, partial(some_frames, chance, taken)) is None
