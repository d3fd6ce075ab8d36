"""Near-identical images in different splits: candidates by their hashes, confirmed by their thumbnails."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..index.looks import near_identical
from ..index.near_hashes import near_hashes
from .corpus import Corpus

__all__ = ["near_pairs"]

_ROWS = np.dtype(
    [("hash", np.uint64), ("source", np.int64), ("fact", np.int64), ("split", np.int64), ("reference", np.int64)]
)
# A dataset of drawings that differ little has more candidates than anybody would look through.
_MOST_CANDIDATES = 2_000_000


_ODD = np.uint64(0x9E3779B97F4A7C15)


def near_pairs(corpus: Corpus) -> Iterator[tuple[int, int]]:
    """Yield images that are near-identical, but not identical, to one in another split: both as references.

    An image is yielded once, with the first that is like it, and as the one of the smaller split.
    """
    images = _images(corpus)
    sizes = np.bincount(images["split"], minlength=len(corpus.splits))
    if np.count_nonzero(sizes) < 2:
        return
    largest = int(sizes.argmax())
    smaller = images[images["split"] != largest]
    hashes, places = np.unique(images["hash"], return_inverse=True)
    asked = np.unique(smaller["hash"])
    by_hash = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[by_hash], np.arange(len(hashes) + 1))
    pairs = near_hashes(asked, hashes)
    candidates: dict[int, list[int]] = {}
    for one, other in zip(np.searchsorted(hashes, asked)[pairs.one].tolist(), pairs.other.tolist(), strict=True):
        candidates.setdefault(one, []).append(other)
    looked = 0
    for one in candidates:
        for place in by_hash[starts[one] : starts[one + 1]].tolist():
            image = images[place]
            if image["split"] == largest:
                continue
            for other in candidates[one]:
                match = None
                for there in by_hash[starts[other] : starts[other + 1]].tolist():
                    looked += 1
                    if _matches(corpus, image, images[there]):
                        match = int(images[there]["reference"])
                        break
                if match is not None:
                    yield int(image["reference"]), match
                    break
            if looked > _MOST_CANDIDATES:
                return


def _matches(corpus: Corpus, image: npt.NDArray[np.void], there: npt.NDArray[np.void]) -> bool:
    if image["split"] == there["split"]:
        return False
    if corpus.references("content")[image["reference"]] == corpus.references("content")[there["reference"]]:
        return False
    one, other = (corpus.sources[int(each["source"])].facts for each in (image, there))
    if one is None or other is None:
        return False
    return near_identical(one.thumbnail(int(image["fact"])), other.thumbnail(int(there["fact"])))


def _images(corpus: Corpus) -> npt.NDArray[np.void]:
    """Return a row for each image of each split that was decoded and shows something."""
    keys = np.asarray(corpus.references("image"))
    records = np.asarray(corpus.references("record"), np.int64)
    if not len(keys):
        return np.empty(0, _ROWS)
    splits, sources = corpus.split_numbers(records), corpus.source_numbers(records)
    found = []
    for number, source in enumerate(corpus.sources):
        if source.facts is None:
            continue
        here = np.flatnonzero(sources == number)
        # One number for the image and its split: keys are hashes, and stay so.
        _, first = np.unique(keys[here] ^ (splits[here].astype(np.uint64) * _ODD), return_index=True)
        references = here[first]
        facts = np.searchsorted(source.facts.keys, keys[references])
        facts = np.minimum(facts, max(0, len(source.facts) - 1))
        hashes, seen = source.facts.hashes()
        kept = (source.facts.keys[facts] == keys[references]) & seen[facts] if len(source.facts) else np.zeros(0, bool)
        rows = np.zeros(int(kept.sum()), _ROWS)
        rows["hash"], rows["source"], rows["fact"] = hashes[facts[kept]], number, facts[kept]
        rows["split"], rows["reference"] = splits[references[kept]], references[kept]
        found.append(rows)
    return np.concatenate(found) if found else np.empty(0, _ROWS)
