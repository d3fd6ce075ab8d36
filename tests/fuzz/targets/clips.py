"""Clips of many containers and codecs, read as a worker does: which frames there are, and those that a policy names."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from phi3v_data.converters.video import read_frames
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.converters.video.synthesis import write_clip
from phi3v_data.schema.errors import MediaError

X264 = {"codec": "libx264", "options": {"preset": "veryfast", "x264-params": "scenecut=0"}}
CLIPS: dict[str, dict[str, Any]] = {
    "xvid.avi": {"fps": Fraction(30000, 1001)},
    "b-frames.avi": {"b_frames": 2},
    "mpeg4.mp4": {"turn": 90},
    "h264.mp4": {**X264, "b_frames": 2},
    "h264.mkv": {**X264, "b_frames": 2},
    "h264.ts": {**X264},
    "h264.flv": {**X264},
    "h264.h264": {**X264},
    "h264-fragments.mp4": {**X264, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg2.ts": {"codec": "mpeg2video", "b_frames": 2},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}
POLICIES = (
    Sampling(frames=4),
    Sampling(strategy="keyframes", frames=4),
    Sampling(strategy="fps", frames=4, fps=5.0),
)


def corpus(folder: Path) -> None:
    y, x = np.mgrid[:48, :64]
    for name, options in CLIPS.items():
        frames = (np.stack([3 * x + 9 * n, 5 * y + 5 * n, x + y + 13 * n], axis=-1).astype(np.uint8) for n in range(20))
        write_clip(folder / name, frames, gop=8, **options)


def check(file: Path) -> None:
    # Each policy takes another way through the clip; damage that one meets may be passed over by the next.
    refused: MediaError | None = None
    for policy in POLICIES:
        try:
            frames = read_frames(file, policy)
        except MediaError as error:
            refused = refused or error
            continue
        assert all(frame.pixels.dtype == np.uint8 and frame.pixels.shape[2] == 3 for frame in frames)
    if refused is not None:
        raise refused
