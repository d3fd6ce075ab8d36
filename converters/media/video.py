"""Frames of a video: the ones a sampling policy names, exactly those, upright, whichever decoder reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .sampling import ClipTable, Sampling, select_frames

__all__ = ["Decoder", "Frame", "decoder_versions", "read_frames"]

Decoder = Literal["auto", "pyav", "decord", "opencv"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a clip.

    Args:
        index: its number, counted from 0 in the order of showing.
        time: seconds from the clip's first frame.
        pixels: uint8 [H, W, 3], RGB, upright, square pixels.
    """

    index: int
    time: float
    pixels: np.ndarray


def read_frames(
    path: Path, sampling: Sampling, *, decoder: Decoder = "auto", key: str = "", jitter: bool = False
) -> list[Frame]:
    """Read the frames of a clip that the policy chooses.

    Args:
        path: the clip.
        sampling: the policy.
        decoder: the library that decodes; `auto` is PyAV.
        key: what the jitter of this clip depends on beside the seed: the item's id.
        jitter: whether this clip is one to jitter, if the policy does.

    Raises:
        MediaError: the clip cannot be read; names the file and what is wrong.
        MissingDependencyError: the decoder is not installed.
    """
    from . import pyav_frames

    def choose(clip: ClipTable) -> list[int]:
        return select_frames(clip, sampling, key=key, jitter=jitter)

    return [Frame(*frame) for frame in pyav_frames.read(path, choose)]


def decoder_versions(decoder: Decoder = "auto") -> dict[str, str]:
    """Name the library that decodes, its FFmpeg, and their versions, for the manifest."""
    import av

    return {"av": av.__version__, "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))}
