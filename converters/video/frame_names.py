"""The name of a frame's image: that of its clip, a dot, and its number among the frames taken."""

from __future__ import annotations

__all__ = ["frame_name"]


def frame_name(clip: str, number: int, part: str = "") -> str:
    """Name a frame's image as the recipe does.

    Args:
        clip: the clip's own name, from the item: `val/BabyCrawling/v_BabyCrawling_g21_c04`.
        number: of the frame among those taken from the clip, from 0.
        part: which of several clips the frame is of, where a record shows more than one.

    Returns:
        `val/BabyCrawling/v_BabyCrawling_g21_c04.0.jpg`, relative to the folder of images.
    """
    return f"{clip}.{part}{number}.jpg"
