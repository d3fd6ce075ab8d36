"""From a clip to the images of its frames, and the name of each: its clip's, a dot, and the frame's number."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ...schema.errors import MediaError
from ...storage import Folder, LocalFolder
from ..base import ImageSink, Item
from . import Decoder, read_frames
from .sampling import Sampling


def frame_name(clip: str, number: int, part: str = "") -> str:
    """Name the image of a frame as the recipe does, relative to the folder of images.

    The clip `val/BabyCrawling/v_BabyCrawling_g21_c04` has `val/BabyCrawling/v_BabyCrawling_g21_c04.0.jpg` first: the
    number counts the frames taken. Where a record shows more clips than one, the part tells them apart.
    """
    return f"{clip}.{part}{number}.jpg"


def show_clip(
    folder: Folder, file: str, item: Item, images: ImageSink, sampling: Sampling, decoder: Decoder, part: str = ""
) -> tuple[list[str], dict[str, Any]]:
    """Read frames of a clip, a file of the input, and store them; of the split train, frames may be jittered.

    Returns:
        The images, and where they come from: the file's SHA-256, the frames' numbers and times in seconds.

    Raises:
        MediaError: it is missing, a folder, or cannot be decoded.
    """
    name = PurePosixPath(file).name
    try:
        with folder.local(file) as path:
            digest = LocalFolder(path.parent).sha256(path.name)
            frames = read_frames(path, sampling, decoder=decoder, key=item.images, jitter=item.split == "train")
    except FileNotFoundError:
        raise MediaError(f"{name}: no such clip, though it is listed or was there before") from None
    except IsADirectoryError:
        raise MediaError(f"{name}: a folder, not a clip") from None
    return (
        [images.save(frame_name(item.images, number, part), frame.pixels) for number, frame in enumerate(frames)],
        {"sha256": digest, "frames": [frame.index for frame in frames], "pts": [frame.time for frame in frames]},
    )
