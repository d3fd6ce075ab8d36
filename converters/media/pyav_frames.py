"""Frames through PyAV, FFmpeg's own libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from ...schema.errors import MediaError
from .sampling import ClipTable

__all__ = ["read"]


def read(path: Path, choose: Callable[[ClipTable], list[int]]) -> list[tuple[int, float, np.ndarray]]:
    """Read the frames that `choose` names, decoding the whole clip in order."""
    try:
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                raise MediaError(f"{path}: no video stream in it")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            frames = list(container.decode(stream))
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: cannot be decoded ({error.strerror or error})") from error
    if not frames:
        raise MediaError(f"{path}: holds no frames")
    times = [float(frame.time - frames[0].time) for frame in frames]
    wanted = choose(ClipTable(times, [i for i, frame in enumerate(frames) if frame.key_frame]))
    return [(i, times[i], np.rot90(frames[i].to_ndarray(format="rgb24"), frames[i].rotation // 90)) for i in wanted]
