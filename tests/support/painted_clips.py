"""Clips to decode, each frame with its number painted into it, and what an independent decoder makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from phi3v_data.converters.video.synthesis import write_clip

HEIGHT, WIDTH, BITS = 96, 160, 10
FRAMES = 60


def paint(number: int) -> np.ndarray:
    """A frame that moves, with its number in black and white along the upper edge."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([3 * x + 9 * number, 5 * y + 5 * number, x + y + 13 * number], axis=-1) % 256 // 2 + 64
    for bit in range(BITS):
        pixels[:16, 16 * bit : 16 * (bit + 1)] = 255 if number >> bit & 1 else 0
    return pixels.astype(np.uint8)


def x264(gop: int = 20, b_frames: int = 2, params: str = "scenecut=0") -> dict[str, Any]:
    options = {"preset": "ultrafast" if b_frames == 0 else "veryfast", "crf": "23", "x264-params": params}
    return {"codec": "libx264", "gop": gop, "b_frames": b_frames, "options": options}


def vpx(codec: str) -> dict[str, Any]:
    return {"codec": codec, "gop": 20, "options": {"deadline": "realtime", "cpu-used": "8", "b": "400k"}}


X265 = {"codec": "libx265", "gop": 20, "options": {"preset": "ultrafast", "x265-params": "log-level=none"}}

# Seconds between one frame and the next of a clip without a rate.
GAPS = [0.033, 0.1, 0.02, 0.5, 0.033]
UNEVEN = [round(sum((GAPS * FRAMES)[:number]), 3) for number in range(FRAMES)]

# File name, how it is written, and whether frames of it are skipped.
CLIPS: dict[str, tuple[dict[str, Any], bool]] = {
    "xvid.avi": ({"fps": Fraction(30000, 1001)}, True),
    "mpeg4.mkv": ({}, True),
    "mpeg4.mp4": ({}, True),
    "mpeg4-b-frames.avi": ({"b_frames": 2}, False),
    "mpeg4-b-frames.mp4": ({"b_frames": 2}, False),
    "h264.mp4": (x264(), True),
    "h264.mkv": (x264(), True),
    "h264.ts": (x264(), True),
    "h264.flv": (x264(), True),
    "h264-one-key.mp4": (x264(gop=250, b_frames=3), True),
    "h264-no-b-frames.avi": (x264(b_frames=0), True),
    "h264-guessed-times.avi": (x264(), False),
    "h264-no-times.h264": (x264(), False),
    "h264-fragments.mp4": (x264() | {"container_options": {"movflags": "frag_keyframe+empty_moov"}}, True),
    "h264-live.mkv": (x264() | {"container_options": {"live": "1"}}, True),
    "h264-open-gop.mp4": (x264(params="open-gop=1:scenecut=0"), True),
    "h264-pyramid.mp4": (x264(gop=60, b_frames=8, params="b-pyramid=normal:ref=6:b-adapt=0"), True),
    "h264-slices.mp4": (x264(params="slices=4"), True),
    "h264-intra-refresh.mp4": (x264(b_frames=0, params="intra-refresh=1"), True),
    "h264-interlaced.mp4": (x264(params="tff=1"), False),
    "h264-uneven.mkv": (x264() | {"times": UNEVEN}, True),
    "h264-uneven.mp4": (x264() | {"times": UNEVEN}, True),
    "vp8.webm": (vpx("libvpx"), True),
    "vp9.webm": (vpx("libvpx-vp9"), True),
    "hevc.mp4": (X265, False),
    "mpeg2.ts": ({"codec": "mpeg2video", "b_frames": 2}, False),
    "mjpeg.avi": ({"codec": "mjpeg", "pixel_format": "yuvj420p"}, False),
}


class Clips:
    """Writes clips, once each, and decodes them the plain way."""

    frames = FRAMES
    uneven_times = UNEVEN

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.named = cache(self._named)
        self.in_order = cache(self._in_order)

    def _named(self, name: str) -> Path:
        """One of the clips above, of 60 frames."""
        options, _ = CLIPS[name]
        return self.write(self._folder / name, FRAMES, **options)

    def is_skippable(self, name: str) -> bool:
        return CLIPS[name][1]

    def write(self, path: Path, frames: int | Iterable[np.ndarray] = FRAMES, **options: Any) -> Path:
        painted = map(paint, range(frames)) if isinstance(frames, int) else frames
        return write_clip(path, painted, **options)

    def paint(self, number: int) -> np.ndarray:
        return paint(number)

    def number(self, pixels: np.ndarray) -> int:
        """The number painted into a frame."""
        return sum(1 << bit for bit in range(BITS) if pixels[4:12, 16 * bit + 4 : 16 * bit + 12].mean() > 128)

    def _in_order(self, path: Path) -> list[np.ndarray]:
        """Every frame of a clip by decoding it from its start, as stored."""
        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    def packet(self, name: str, number: int) -> av.Packet:
        """One packet of a clip, by its number in decoding order."""
        with av.open(str(self.named(name))) as container:
            return list(container.demux(video=0))[number]

    def remux(self, source: Path, to: Path, change: Callable[[int, av.Packet], Any], **options: Any) -> Path:
        """Copy the packets of a clip; `change` is given each one's number and returns what goes in its place."""
        with av.open(str(source)) as given, av.open(str(to), "w", container_options=options) as made:
            stream = made.add_stream_from_template(given.streams.video[0])
            for number, packet in enumerate(given.demux(video=0)):
                for changed in self._changed(change, number, packet) if packet.size else ():
                    changed.stream = stream
                    made.mux(changed)
        return to

    def _changed(self, change: Callable[[int, av.Packet], Any], number: int, packet: av.Packet) -> list[av.Packet]:
        result = change(number, packet)
        if result is None:
            return [packet]
        made = []
        for data in [result] if isinstance(result, bytes) else result:
            copy = av.Packet(data)
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
            made.append(copy)
        return made
