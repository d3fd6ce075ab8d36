"""Near-identical images in different splits: candidates by their hashes, confirmed by their thumbnails and colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .colours import Colours, same_colours
from .looks import near_identical
from .near_hashes import near_hashes
from .pixels import Grey

# A dataset of drawings that differ little has more candidates than anybody would look through.
_MOST_CANDIDATES = 2_000_000
_REMEMBERED = 1024  # colours, of 4 kB each


def near_images(
    hashes: npt.NDArray[np.uint64],
    contents: npt.NDArray[np.uint64],
    splits: npt.NDArray[np.int64],
    thumbnail: Callable[[int], Grey],
    colours: Callable[[int], Colours | None],
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[int, int]]:
    """Yield images that are near-identical, but not identical, to one in another split: both by place.

    An image is yielded once, with the first that is like it, and as the one of the smaller split.

    Args:
        hashes: of each image; see `looks`.
        contents: what identical files share.
        splits: a number for the split of each.
        thumbnail: gives an image's thumbnail by its place.
        colours: reads an image's colours by its place; None where that cannot be.
        note: told where so many are alike that not all were compared.
    """
    # An image is compared with many, and its colours are read from its file.
    colours = lru_cache(_REMEMBERED)(colours)
    sizes = np.bincount(splits)
    if np.count_nonzero(sizes) < 2:
        return
    largest = int(sizes.argmax())
    distinct, places = np.unique(hashes, return_inverse=True)
    asked = np.unique(hashes[splits != largest])
    by_hash = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[by_hash], np.arange(len(distinct) + 1))

    def members(of: int) -> list[int]:
        """Return the images that have a hash."""
        found: list[int] = by_hash[starts[of] : starts[of + 1]].tolist()
        return found

    pairs = near_hashes(asked, distinct)
    ends = np.searchsorted(pairs.one, np.arange(len(asked) + 1))
    looked = 0
    for number, one in enumerate(np.searchsorted(distinct, asked).tolist()):
        others = pairs.other[ends[number] : ends[number + 1]].tolist()
        for image in members(one) if others else ():
            if splits[image] == largest:
                continue
            for there in (each for other in others for each in members(other)):
                looked += 1
                if splits[image] == splits[there] or contents[image] == contents[there]:
                    continue
                if near_identical(thumbnail(image), thumbnail(there)) and _alike(colours(image), colours(there)):
                    yield image, there
                    break
            if looked > _MOST_CANDIDATES:
                note(
                    f"near-identical images: {looked:,} pairs of like images were compared, and that was the limit; "
                    "of the rest nothing is known (S605)"
                )
                return


def _alike(one: Colours | None, other: Colours | None) -> bool:
    return one is None or other is None or same_colours(one, other)
