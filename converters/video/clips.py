"""From a clip to the images of its frames."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ...schema.errors import MediaError
from ...storage import Folder, LocalFolder
from ..base import ImageSink, Item
from . import Decoder, read_frames
from .frame_names import frame_name
from .sampling import Sampling

__all__ = ["ShownClip", "show_clip"]


class ShownClip(NamedTuple):
    """A clip's images, and where they come from: the file's SHA-256, the frames' numbers and times in seconds."""

    images: list[str]
    provenance: dict[str, Any]


def show_clip(
    folder: Folder, file: str, item: Item, images: ImageSink, sampling: Sampling, decoder: Decoder, part: str = ""
) -> ShownClip:
    """Read frames of a clip, a file of the input, and store them; of the split train, frames may be jittered.

    Where the item shows several clips, `part` tells this one in the images' names.

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
    return ShownClip(
        [images.save(frame_name(item.images, number, part), frame.pixels) for number, frame in enumerate(frames)],
        {"sha256": digest, "frames": [frame.index for frame in frames], "pts": [frame.time for frame in frames]},
    )
