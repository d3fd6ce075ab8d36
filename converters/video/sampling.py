"""Which frames of a clip are taken: one policy, written to the manifest, used wherever images come from video.

Every strategy cuts the clip into parts and takes one frame of each::

    uniform     n equal parts, the first frame of each: frame floor(i * total / n)
    segment     n equal parts, the middle frame of each
    fps         a part for every 1/F seconds, the frame displayed when it begins
    keyframes   a part for every key frame, that key frame

With `jitter`, the frame is a random one of its part, the same one for the same seed and key on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from ...schema.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")
Strategy = Literal["uniform", "segment", "fps", "keyframes"]

# Times are sums and quotients of floats: two that differ by less than this are one.
SAME_TIME = 1e-6


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """The sampling policy; UsageError where the values do not go together."""

    strategy: Strategy = "uniform"  # how the clip is cut into parts
    frames: int = 8  # how many to take; `fps` and `keyframes` give at most so many, spread evenly over the clip
    fps: float | None = None  # frames a second, for the strategy `fps` alone
    jitter: bool = False  # take a random frame of each part, on the splits for which the caller asks for it
    seed: int = 0  # of the jitter

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UsageError(f"frames = {self.frames}: give at least 1")
        if self.strategy == "fps" and self.fps is None:
            raise UsageError("sampling fps needs the number of frames a second: give fps too")
        if self.strategy != "fps" and self.fps is not None:
            wrong = f"fps = {self.fps:g} means nothing to sampling {self.strategy}"
            raise UsageError(f"{wrong}: leave it out, or sample by fps")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"fps = {self.fps}: give a number above 0")
        if self.strategy == "keyframes" and self.jitter:
            raise UsageError("jitter leaves the key frames that sampling keyframes is for: choose one of the two")


class ClipTable(NamedTuple):
    """What the choice of frames depends on."""

    times: Sequence[float]  # seconds from the first frame to each one that a decoder outputs, rising
    keys: Sequence[int]  # numbers of the key frames, rising


# Names the frames to take, once the clip's table is known.
Choose: TypeAlias = Callable[[ClipTable], list[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame taken from a clip."""

    index: int  # its number, counted from 0 in presentation order
    time: float  # seconds from the clip's first frame
    pixels: np.ndarray  # uint8 [H, W, 3], RGB, upright, with square pixels


def select_frames(clip: ClipTable, sampling: Sampling, *, key: str = "", jitter: bool = False) -> list[int]:
    """Choose the frames to take from a clip.

    Args:
        clip: of at least one frame.
        key: what the jitter of this clip depends on beside the seed: the item's id.
        jitter: whether this clip is one to jitter, if the policy does.

    Returns:
        Frame numbers counted from 0, rising, none twice. `uniform` and `segment` give exactly `sampling.frames` of
        them, or every frame once where the clip has fewer.
    """
    total = len(clip.times)
    if sampling.strategy == "keyframes":
        starts = clip.keys
    elif sampling.fps is not None:
        starts = _displayed_at(sampling.fps, clip.times)
    else:
        starts = _spread(range(total), sampling.frames)
    parts = _spread([range(start, stop) for start, stop in pairwise([*starts, total])], sampling.frames)
    if sampling.jitter and jitter:
        return [_random_frame(part, f"{sampling.seed}\n{number}\n{key}") for number, part in enumerate(parts)]
    return [(part.start + part.stop) // 2 if sampling.strategy == "segment" else part.start for part in parts]


def _spread(items: Sequence[T], wanted: int) -> Sequence[T]:
    """Take so many of the items, evenly, or all where there are no more: item i of n is at floor(i * total / n)."""
    if len(items) <= wanted:
        return items
    return [items[i * len(items) // wanted] for i in range(wanted)]


def _displayed_at(rate: float, times: Sequence[float]) -> list[int]:
    """Find the frames that are displayed at 0, 1/rate, 2/rate ... seconds, up to the last frame's time.

    A frame is one of them if a tick falls between its time and the next frame's.
    """
    next_tick = [math.ceil((time - SAME_TIME) * rate) for time in times]
    last_is_on_a_tick = next_tick[-1] <= (times[-1] + SAME_TIME) * rate
    displayed = [frame for frame, (tick, after) in enumerate(pairwise(next_tick)) if tick < after]
    return [*displayed, len(times) - 1] if last_is_on_a_tick else displayed


def _random_frame(part: range, key: str) -> int:
    # A hash and not `random`: the choice has to be the same in every version of Python.
    return part[int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") % len(part)]
