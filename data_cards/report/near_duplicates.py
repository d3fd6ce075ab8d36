"""Records of different splits whose first images look the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .thumbnails import GREY_SIDE

__all__ = ["Pair", "near_duplicates"]

_BANDS = 8  # pieces of the hash; two images are compared where one piece is equal
_MOST_BITS = 6  # of 64 that may differ
_MOST_APART = 4.0  # mean difference of colours, of 255
_LARGEST_BUCKET = 400


class Pair(NamedTuple):
    """Two records, by number in the whole dataset, and the mean difference of their colours, of 255."""

    first: int
    second: int
    difference: float


def near_duplicates(signatures: Sequence[bytes | None], splits: Sequence[int]) -> list[Pair]:
    """Find records of different splits whose first images look the same, the closest first.

    Candidates share a piece of a 64-bit difference hash. They are a pair where at most `_MOST_BITS` differ, and so
    little colour that it is hard to see. Where very many images share a piece (plain backgrounds), each is compared
    with its neighbours in the order of hash and brightness only.

    Args:
        signatures: of each record's thumbnail, see `thumbnails.signature`; None without one.
        splits: a number for the split of each record.
    """
    numbers = np.array([number for number, each in enumerate(signatures) if each is not None], dtype=np.int64)
    if len(numbers) < 2:
        return []
    joined: npt.NDArray[np.uint8] = np.frombuffer(b"".join(each for each in signatures if each), np.uint8)
    rows = joined.reshape(len(numbers), -1)
    grey, colours = rows[:, : GREY_SIDE**2].reshape(-1, GREY_SIDE, GREY_SIDE), rows[:, GREY_SIDE**2 :]
    of_split = np.array(splits, dtype=np.int64)[numbers]
    hashes = _hashes(grey)
    brightness = colours.mean(axis=1)
    found: dict[tuple[int, int], float] = {}
    for band in range(_BANDS):
        order = np.lexsort((brightness, *(hashes[:, other] for other in range(_BANDS)), hashes[:, band]))
        keys = hashes[order, band]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            members = order[first:end]
            if len(members) > 1 and len(np.unique(of_split[members])) > 1:
                _compare(members, hashes, colours, of_split, found)
    pairs = [Pair(int(numbers[a]), int(numbers[b]), difference) for (a, b), difference in found.items()]
    return sorted(pairs, key=lambda pair: (pair.difference, pair.first, pair.second))


def _hashes(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a 64-bit difference hash of each image, as 8 bytes; [images, 8]."""
    small = grey.reshape(-1, 8, 2, 16).mean(axis=2)  # [images, 8 rows, 16 columns]
    columns = np.linspace(0, 15, 9).round().astype(np.int64)
    sampled = small[:, :, columns]
    return np.packbits(sampled[:, :, 1:] > sampled[:, :, :-1], axis=2)[:, :, 0]


def _compare(
    members: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint8],
    colours: npt.NDArray[np.uint8],
    of_split: npt.NDArray[np.int64],
    found: dict[tuple[int, int], float],
) -> None:
    reach = len(members) if len(members) <= _LARGEST_BUCKET else 8
    for step in range(1, min(reach, len(members))):
        left, right = members[:-step], members[step:]
        apart = of_split[left] != of_split[right]
        left, right = left[apart], right[apart]
        bits = np.unpackbits(hashes[left] ^ hashes[right], axis=1).sum(axis=1)
        left, right = left[bits <= _MOST_BITS], right[bits <= _MOST_BITS]
        if not len(left):
            continue
        difference = np.abs(colours[left].astype(np.int16) - colours[right].astype(np.int16)).mean(axis=1)
        for a, b, apart_by in zip(left.tolist(), right.tolist(), difference.tolist(), strict=True):
            if apart_by <= _MOST_APART:
                found[min(a, b), max(a, b)] = apart_by
