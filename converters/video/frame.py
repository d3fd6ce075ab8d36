"""A frame taken from a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .sampling import ClipTable

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Choose", "Frame"]

# Names the frames to take, once the clip's table is known.
Choose: TypeAlias = Callable[[ClipTable], list[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a clip.

    Args:
        index: its number, counted from 0 in presentation order.
        time: seconds from the clip's first frame.
        pixels: uint8 [H, W, 3], RGB, upright, with square pixels.
    """

    index: int
    time: float
    pixels: np.ndarray
