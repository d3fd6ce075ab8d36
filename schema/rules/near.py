"""Images of different splits that are near-identical, among those that the records of a corpus show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..index.colours import Colours, colours_in
from ..index.facts_table import FactsTable
from ..index.near_images import near_images
from ..index.pixels import Grey
from .corpus import Corpus, Source

_ROWS = np.dtype(
    [("hash", np.uint64), ("source", np.int64), ("fact", np.int64), ("split", np.int64), ("reference", np.int64)]
)
_ODD = np.uint64(0x9E3779B97F4A7C15)


def near_pairs(corpus: Corpus) -> Iterator[tuple[int, int]]:
    """Yield images that are near-identical, but not identical, to one in another split: both as references.

    An image is yielded once, with the first that is like it, and as the one of the smaller split. Where so many are
    alike that not all are compared, a note of the corpus says so.
    """
    images = _images(corpus)
    contents = np.asarray(corpus.references("content"))[images["reference"]]

    def row(place: int) -> tuple[Source, FactsTable, int]:
        source = corpus.sources[int(images["source"][place])]
        assert source.facts is not None  # only images with facts are among them
        return source, source.facts, int(images["fact"][place])

    def thumbnail(place: int) -> Grey:
        _, facts, at = row(place)
        return facts.thumbnail(at)

    def colours(place: int) -> Colours | None:
        source, facts, at = row(place)
        return colours_in(source.dataset.folder, facts.at(at))

    note = corpus.notes.append
    for one, other in near_images(images["hash"], contents, images["split"], thumbnail, colours, note):
        yield int(images["reference"][one]), int(images["reference"][other])


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
