"""Tells at a glance that many records have nothing a rule could find, so that each rule need not look at each of them.

What passes here has none of the faults named; what does not pass may have some, and is looked at rule by rule. That no
failure gets past is held by a test over mutated records.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..index.facts import ImageFacts
from ..index.header import Header
from ..vision_tokens import crop_grid
from .files import SUFFIXES
from .settings import Limits

_SIZES = 1 << 12
_QUOTE, _COLON, _SPACE = 34, 58, 32
_SPACED_KEY = re.compile(rb'"[ \t\r]+:')


def _before_colons(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the byte before each colon: a quotation mark behind keys, and in some texts."""
    text = np.frombuffer(data, np.uint8)
    return text[np.flatnonzero(text == _COLON) - 1]


def keys_are_single(data: bytes, keys: int, metas: bytes) -> bool:
    """Tell whether no object outside `meta` has a key twice: there are as many keys as the records have values.

    Args:
        data: the lines.
        keys: that the records read from them have, but for those inside `meta`.
        metas: what is written as `meta`, one behind the other.
    """
    before = _before_colons(data)
    # A text that holds an escaped quotation mark and a colon counts as one more, and is looked at for nothing.
    if np.count_nonzero(before == _QUOTE) != keys + np.count_nonzero(_before_colons(metas) == _QUOTE):
        return False
    return not (before <= _SPACE).any() or not _SPACED_KEY.search(data)


def texts_are_plain(data: bytes) -> bool:
    """Tell whether texts are printable ASCII without anything that begins a special token."""
    return data.isascii() and b"<" not in data and b"\\" not in data and b"\x7f" not in data


def paths_are_plain(paths: Sequence[str]) -> bool:
    """Tell whether paths are relative, with single slashes between, and never lead up."""
    joined = f"/{'/'.join(paths)}/"
    return not ("//" in joined or "/." in joined or "\\" in joined or ":" in joined or "\0" in joined)


class ImageScreen:
    """Tells whether an image is as most are: whole, upright, alone in its file, 8 bits of grey or RGB, no odd size.

    Args:
        limits: from where on something is too much.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size_is_usual = lru_cache(_SIZES)(self._is_usual)
        self.tokens = lru_cache(_SIZES)(self._count)
        """Return the tokens of an image, by its width and height; 0 where these are not known."""

    def passes(self, name: str, facts: ImageFacts) -> bool:
        """Tell it of one image."""
        if facts.failure or facts.flat or facts.line_height:
            return False
        return name.endswith(self.suffixes(facts))

    def suffixes(self, header: Header | ImageFacts) -> tuple[str, ...]:
        """Return how the names of such images end; () where something is odd about them."""
        is_plain = header.mode in ("RGB", "L") and header.bits == 8 and header.orientation == header.frames == 1
        if not is_plain or header.transparent or not self._size_is_usual(header.width, header.height):
            return ()
        return SUFFIXES.get(header.format, ())

    def _count(self, width: int, height: int) -> int:
        if not width or not height:
            return 0
        return crop_grid(width, height, self._limits.num_crops, self._limits.geometry).tokens

    def _is_usual(self, width: int, height: int) -> bool:
        limits = self._limits
        if max(width, height) > limits.aspect * min(width, height):
            return False
        grid = crop_grid(width, height, limits.num_crops, limits.geometry)
        return grid.content_width <= limits.enlargement * width
