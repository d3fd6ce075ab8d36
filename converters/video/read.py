"""Reading the frames that a policy names, whichever library decodes them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Literal, TypeAlias

from ...schema.errors import MediaError
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
        # collection of its own accord, that is gigabytes.
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
