"""Near-identical images in different splits: candidates by their hashes, confirmed by their thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from .looks import near_identical
from .near_hashes import near_hashes
from .pixels import Grey

__all__ = ["near_images"]

# A dataset of drawings that differ little has more candidates than anybody would look through.
_MOST_CANDIDATES = 2_000_000


def near_images(
    hashes: npt.NDArray[np.uint64],
    contents: npt.NDArray[np.uint64],
    splits: npt.NDArray[np.int64],
    thumbnail: Callable[[int], Grey],
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[int, int]]:
    """Yield images that are near-identical, but not identical, to one in another split: both by place.

    An image is yielded once, with the first that is like it, and as the one of the smaller split.

    Args:
        hashes: of each image; see `looks`.
        contents: what identical files share.
        splits: a number for the split of each.
        thumbnail: gives an image's thumbnail by its place.
        note: told where so many are alike that not all were compared.
    """
    sizes = np.bincount(splits)
    if np.count_nonzero(sizes) < 2:
        return
    largest = int(sizes.argmax())
    distinct, places = np.unique(hashes, return_inverse=True)
    asked = np.unique(hashes[splits != largest])
    by_hash = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[by_hash], np.arange(len(distinct) + 1)).tolist()
    members = by_hash.tolist()
    content_of, split_of = contents.tolist(), splits.tolist()
    pairs = near_hashes(asked, distinct)
    candidates: dict[int, list[int]] = {}
    for one, other in zip(np.searchsorted(distinct, asked)[pairs.one].tolist(), pairs.other.tolist(), strict=True):
        candidates.setdefault(one, []).append(other)
    looked = 0
    for one, others in candidates.items():
        for image in members[starts[one] : starts[one + 1]]:
            if split_of[image] == largest:
                continue
            for there in (each for other in others for each in members[starts[other] : starts[other + 1]]):
                looked += 1
                if split_of[image] == split_of[there] or content_of[image] == content_of[there]:
                    continue
                if near_identical(thumbnail(image), thumbnail(there)):
                    yield image, there
                    break
            if looked > _MOST_CANDIDATES:
                note(
                    f"near-identical images: {looked:,} pairs of like images were compared, and that was the limit; "
                    "of the rest nothing is known (S605)"
                )
                return
