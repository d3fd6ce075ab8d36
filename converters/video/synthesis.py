"""Clips made here, for the demo, the tests and the benchmarks.

The same frames give the same bytes with FFmpeg's own encoders, `mpeg4` among them. libx264 does not promise it: with
AVX-512, two runs of it differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

# Ticks a second of a clip whose frames come at times of their own.
TICKS = 1000

# By encoder: no key frames but the regular ones, and a quality that does not depend on what came before.
SETTINGS = {
    "mpeg4": {"sc_threshold": "1000000000", "qmin": "3", "qmax": "3"},
    "mpeg2video": {"sc_threshold": "1000000000", "qmin": "3", "qmax": "3"},
    "libx264": {"sc_threshold": "0"},
}


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: Fraction | int = 25,
    codec: str = "mpeg4",
    gop: int = 12,
    b_frames: int = 0,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    times: Iterable[Fraction | float] | None = None,
    turn: int = 0,
    pixel_aspect: Fraction | int = 1,
    pixel_format: str = "yuv420p",
) -> Path:
    """Write a video without sound, and return its path, whose suffix says the container.

    Args:
        frames: uint8 [H, W, 3] in RGB, all of one size, with even sides.
        codec: FFmpeg's name of the encoder: `mpeg4`, `libx264`, `libvpx-vp9` ...
        gop: frames from one key frame to the next.
        b_frames: frames in a row that refer to later ones.
        options, container_options: of the encoder, and of the container's writer.
        times: seconds at which each frame is displayed, to the millisecond, where they are not evenly spaced.
        turn: degrees by which a player turns the frames, counter-clockwise; a multiple of 90.
        pixel_aspect: width of a pixel over its height.
    """
    import av

    ticks = None if times is None else (round(time * TICKS) for time in times)
    settings = {"flags": "+bitexact", "threads": "1", **SETTINGS.get(codec, {}), **(options or {})}
    with av.open(str(path), "w", container_options={"fflags": "+bitexact", **(container_options or {})}) as container:
        stream = None
        for number, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options=settings)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = pixel_format
                context = stream.codec_context
                context.gop_size, context.max_b_frames = gop, b_frames
                context.sample_aspect_ratio = pixel_aspect
                if ticks:
                    context.time_base = Fraction(1, TICKS)
                if turn:
                    stream.set_display_rotation(turn)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base = Fraction(1, TICKS) if ticks else 1 / Fraction(fps)
            frame.pts = next(ticks) if ticks else number
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path
