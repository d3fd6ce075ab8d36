"""An image's colours in 32 x 32, read again from its file where its grey values say that it is a copy of another.

Drawings of few colours may differ in nothing else: a blue square and a black one are nearly the same grey.
`python benchmarks/near_duplicates.py` prints what this tells apart.
"""

from __future__ import annotations

import io
import warnings
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...storage import Folder
from ..image_formats import pillow_formats
from .facts import ImageFacts
from .looks import SIDE

Colours: TypeAlias = npt.NDArray[np.int16]
"""How much more red and how much more blue than green there is, [32, 32, 2], -255 to 255; grey is 0, 0."""

# Copies that were cut by 3 % or compressed anew differ by up to 120 at so many places, other colours by 190 and more.
_MOST_DIFFERENCE = 160
_PLACES = 4
# From here on an image is not a grey one that was compressed.
_COLOURED = 32


def colours_of(image: Image.Image) -> Colours:
    """Return the colours of an image."""
    image.draft("RGB", (4 * SIDE, 4 * SIDE))
    small = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.int16)
    return small[:, :, ::2] - small[:, :, 1:2]


def colours_in(folder: Folder, facts: ImageFacts) -> Colours | None:
    """Read the colours of an image of a dataset folder, a file or a member of a tar; None where it cannot be read."""
    name, _, offset = facts.name.rpartition("@") if ".tar@" in facts.name else (facts.name, "", "0")
    try:
        with folder.open(name) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream.seek(int(offset))
            data = stream.read(facts.size)
            with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
                return colours_of(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise whatever they run into; that it is damaged is another rule's
        return None


def same_colours(one: Colours, other: Colours) -> bool:
    """Tell whether images that are the same in grey are so in colour; a grey copy of a coloured image is."""
    if min(int(np.abs(one).max()), int(np.abs(other).max())) < _COLOURED:
        return True
    return _explains(one, other) and _explains(other, one)


def _explains(one: Colours, other: Colours) -> bool:
    """Tell whether each place of an image, but a few, has the colours of one at or beside it in another."""
    inner, end = one[1:-1, 1:-1], SIDE - 2
    beside = [other[top : top + end, left : left + end] for top in range(3) for left in range(3)]
    nearest = np.min([np.abs(inner - each).max(axis=2) for each in beside], axis=0)
    return int(np.count_nonzero(nearest > _MOST_DIFFERENCE)) < _PLACES
