"""Random orders that follow from a key alone: on every machine, and with every release of numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def permutations(key: Sequence[int], rows: int, length: int) -> npt.NDArray[np.int64]:
    """Draw independent permutations of `range(length)`.

    numpy promises the raw stream of PCG64 and of SeedSequence for all time (NEP 19), but not what its own shuffles make
    of it; so the numbers of the stream are sorted instead.

    Args:
        key: whole numbers of 0 and more; keys of one length that differ give other permutations.
        rows: how many permutations.
        length: of each.

    Returns:
        [rows, length], each row a permutation.
    """
    stream = np.random.PCG64(np.random.SeedSequence(key))
    return np.argsort(stream.random_raw(rows * length).reshape(rows, length), axis=1, kind="stable")
