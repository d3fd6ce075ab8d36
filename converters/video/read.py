"""Reading the frames that a policy names, whichever library decodes them, and storing them as a record's images."""

from __future__ import annotations

import gc
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from ...schema.errors import MediaError
from ...storage import Folder, LocalFolder
from ..base import ImageSink, Item
from .sampling import ClipTable, Frame, Sampling, select_frames

Decoder: TypeAlias = Literal["auto", "pyav", "decord", "opencv"]


def read_frames(
    path: Path, sampling: Sampling, *, decoder: Decoder = "auto", key: str = "", jitter: bool = False
) -> list[Frame]:
    """Read the frames of a clip that the policy chooses.

    Args:
        decoder: the library that decodes. `auto` is PyAV: it alone skips what the frames do not need, and the others
            are checked against it.
        key, jitter: of the clip, as for `select_frames`.

    Returns:
        The frames, in presentation order, bit for bit those that the library gives when it decodes the whole clip in
        order. Damage to frames that they do not need may go unnoticed.

    Raises:
        MediaError: the clip cannot be read; names the file and what is wrong.
        MissingDependencyError: the decoder is not installed.
    """
    try:
        return _read(path, sampling, decoder, key, jitter=jitter)
    finally:
        # In PyAV a frame and its side data refer to each other, and so to all of the decoder's memory: until the next
        # collection of its own accord, that is gigabytes. By now `_read` has let go of its own.
        gc.collect(1)


def _read(path: Path, sampling: Sampling, decoder: Decoder, key: str, *, jitter: bool) -> list[Frame]:
    from .container import shown_name
    from .other_decoders import decode_again
    from .pyav_frames import decode
    from .upright import upright

    def choose(clip: ClipTable) -> list[int]:
        chosen = select_frames(clip, sampling, key=key, jitter=jitter)
        if not chosen:
            raise MediaError(f"{shown_name(path)}: has no key frame to take; choose another sampling")
        return chosen

    decoded = decode(path, choose)
    stored = decoded.stored_pixels() if decoder in ("auto", "pyav") else decode_again(path, decoder, decoded)
    times, display = decoded.table.times, decoded.display()
    return [Frame(number, times[number], upright(pixels, display)) for number, pixels in stored]


def decoder_versions(decoder: Decoder = "auto") -> dict[str, str]:
    """Return the versions of the libraries that shape the frames; raises MissingDependencyError."""
    import av

    libraries = ("libavcodec", "libavformat", "libswscale")
    versions = {"pyav": av.__version__} | {name: ".".join(map(str, av.library_versions[name])) for name in libraries}
    if decoder == "opencv":
        import cv2

        versions["opencv"] = cv2.__version__
    elif decoder == "decord":
        from .other_decoders import import_decord

        versions["decord"] = import_decord().__version__
    return versions


def show_clip(
    folder: Folder, file: str, item: Item, images: ImageSink, sampling: Sampling, decoder: Decoder, part: str = ""
) -> tuple[list[str], dict[str, Any]]:
    """Read frames of a clip, a file of the input, and store them; of the split train, frames may be jittered.

    A frame is named as the recipe does, by its clip and its number among those taken, from 0:
    `val/BabyCrawling/v_BabyCrawling_g21_c04.0.jpg`. Where a record shows several clips, the part tells them apart.

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
        [images.save(f"{item.images}.{part}{number}.jpg", frame.pixels) for number, frame in enumerate(frames)],
        {"sha256": digest, "frames": [frame.index for frame in frames], "pts": [frame.time for frame in frames]},
    )
