"""What is known of an image: of its header, and of its pixels once they were decoded."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Failure = Literal[
    "",
    "missing",
    "empty",
    "not-a-file",
    "unreadable",
    "not-an-image",
    "too-many-pixels",
    "truncated",
    "damaged",
]
"""Why an image cannot be used; "" where it can, as far as it was looked at."""

Depth: TypeAlias = Literal["header", "pixels"]

FAULTS: dict[str, str] = {
    "missing": "does not exist",
    "empty": "is empty",
    "not-a-file": "is a folder",
    "unreadable": "cannot be read",
    "not-an-image": "is not an image",
    "too-many-pixels": "has more pixels than an image may have",
    "truncated": "is cut off",
    "damaged": "is damaged",
}


class ImageFacts(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """What is known of one image.

    Args:
        name: its path relative to the dataset folder; inside a tar, the tar's and the offset.
        fingerprint: changes when the file does.
        depth: how deep it was looked at.
        size: of the file, in bytes.
        format: Pillow's name of the format.
        width: in pixels, as stored.
        height: in pixels, as stored.
        mode: Pillow's mode.
        bits: of each colour.
        orientation: EXIF's number; 1 is upright.
        frames: more than one is an animation or several pages; 2 stands for more than one.
        transparent: some of it may be.
        failure: why it cannot be used.
        detail: the failure, in the reader's words.
        head: hash of the size and of the first bytes; equal files have equal ones.
        content: hash of all bytes; 0 where it was not read whole.
        hash: 64 bits that similar images share but for a few.
        thumbnail: 32 x 32 grey values, row by row.
        flat: all pixels have one colour.
        line_height: pixels from one line of text to the next, estimated; 0 where none were found.
    """

    name: str
    fingerprint: str = ""
    depth: Depth = "header"
    size: int = 0
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    bits: int = 8
    orientation: int = 1
    frames: int = 1
    transparent: bool = False
    failure: Failure = ""
    detail: str = ""
    head: int = 0
    content: int = 0
    hash: int = 0
    thumbnail: bytes = b""
    flat: bool = False
    line_height: float = 0.0

    @property
    def problem(self) -> str:
        """The failure in words; "" where there is none."""
        if not self.failure:
            return ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{FAULTS[self.failure]}{detail}"
