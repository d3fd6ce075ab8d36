"""What an image looks like, in a few bytes: a hash that similar images share, a thumbnail, its text lines' height.

The hash has 64 bits: the signs of the 64 lowest frequencies of a 32 x 32 thumbnail's cosine transform. Scaling, new
compression and another brightness leave most of them as they are; cutting a few percent off an edge changes up to
fourteen. Two images are near-identical where their hashes differ in at most `NEAR_BITS` and one thumbnail, with up to
3 % cut off each edge and brightness and contrast made equal, differs nowhere from the other by much.
`python benchmarks/near_duplicates.py` prints how often that is right.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .pixels import Grey

# Each core has a process of its own.
cv2.setNumThreads(1)

SIDE = 32
"""Side of a thumbnail."""

LEAST_SIDE = 3 * SIDE
"""Of what a thumbnail is made of, where the image itself is larger."""

NEAR_BITS = 14
"""Bits in which the hashes of near-identical images may differ."""

# How much two thumbnails may differ at any place but a few, in standard deviations of their grey values.
_MOST_DIFFERENCE = 1.3
_PLACES = 10
_LEAST_CORRELATION = 0.9
_CUTS = (0.0, 0.015, 0.03)

_FREQUENCIES = sorted(((i, j) for i in range(12) for j in range(12) if i + j), key=lambda each: (sum(each), each))[:64]
_ROWS = np.array([row for row, _ in _FREQUENCIES])
_COLUMNS = np.array([column for _, column in _FREQUENCIES])


def thumbnail_of(grey: Grey) -> Grey:
    """Return an image in 32 x 32; the mean of all pixels that fall into each."""
    # The mean over tall and wide images takes time in proportion to their pixels: three quarters are passed over.
    while min(grey.shape) >= 16 * SIDE:
        grey = grey[::2, ::2]
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def hash_of(thumbnail: Grey) -> int:
    """Return the hash of an image, from its thumbnail."""
    spectrum: Any = cv2.dct(thumbnail.astype(np.float32))
    return int.from_bytes(np.packbits(spectrum[_ROWS, _COLUMNS] > 0).tobytes(), "big")


def near_identical(one: Grey, other: Grey) -> bool:
    """Tell whether two thumbnails show the same image, cut and brightened a little; see the module."""
    one, other = one.reshape(SIDE, SIDE), other.reshape(SIDE, SIDE)
    return _explains(one, other) or _explains(other, one)


def _explains(whole: Grey, cut: Grey) -> bool:
    # Most candidates are told apart without trying every way to cut.
    plain = _normal(whole.astype(np.float32).reshape(1, -1))[0]
    target = _normal(cut.astype(np.float32).reshape(1, -1))[0]
    if float(plain @ target) / target.size < _LEAST_CORRELATION / 2:
        return False
    rows = np.einsum("ajk,kl->ajl", _WARPS, whole.astype(np.float32))
    warped = _normal(np.einsum("bml,ajl->abjm", _WARPS, rows).reshape(-1, SIDE * SIDE))
    correlation = warped @ target / target.size
    best = int(correlation.argmax())
    if correlation[best] < _LEAST_CORRELATION:
        return False
    difference = np.abs(warped[best] - target)
    return bool(np.partition(difference, -_PLACES)[-_PLACES] < _MOST_DIFFERENCE)


def _normal(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / (np.sqrt((centred**2).mean(axis=1, keepdims=True)) + 1e-3), dtype=np.float32)


def _warp(before: float, behind: float) -> npt.NDArray[np.float32]:
    """Return the matrix that cuts such parts off both ends of a line of `SIDE` values and stretches the rest."""
    positions = ((np.arange(SIDE) + 0.5) / SIDE * (1 - before - behind) + before) * SIDE - 0.5
    left = np.clip(np.floor(positions).astype(int), 0, SIDE - 2)
    share = np.clip(positions - left, 0, 1)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), left] = 1 - share
    matrix[np.arange(SIDE), left + 1] += share
    return matrix


_WARPS = np.array([_warp(before, behind) for before in _CUTS for behind in _CUTS])

# Fewer lines are not a page of text.
_LEAST_LINES = 4
_LEAST_PITCH = 8
_LEAST_PEAK = 0.2
_PAPER = 160  # of 255: most of a page is paper
_STRIPS = 4


def looks_like_page(thumbnail: Grey) -> bool:
    """Tell whether an image is mostly bright, as a page of text is."""
    return 2 * int(np.count_nonzero(thumbnail >= _PAPER)) > thumbnail.size


def line_height_of(grey: Grey) -> float:
    """Estimate the pixels from one line of a page to the next; 0 where there are no lines.

    The rows' mean grey values rise and fall with the lines; the first peak of their autocorrelation is the distance.
    """
    height = grey.shape[0]
    if height < _LEAST_LINES * _LEAST_PITCH:
        return 0.0
    # A page lies askew by a degree or so: over a quarter of its width a line stays a line.
    strips = np.asarray(cv2.resize(grey, (_STRIPS, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    # What changes slowly is light and margins, not lines.
    window = max(9, height // 12)
    profiles = strips - cv2.blur(strips, (1, 2 * window + 1), borderType=cv2.BORDER_REPLICATE)
    size = 1 << (2 * height - 1).bit_length()
    spectrum = np.fft.rfft(profiles, size, axis=0)
    correlation = np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=1), size)[: height // _LEAST_LINES]
    if len(correlation) <= _LEAST_PITCH or correlation[0] <= height:
        return 0.0
    correlation = correlation / correlation[0]
    inner = correlation[1:-1]
    peaks = 1 + np.flatnonzero((inner > correlation[:-2]) & (inner >= correlation[2:]) & (inner > _LEAST_PEAK))
    peaks = peaks[peaks >= _LEAST_PITCH]
    return float(peaks[0]) if len(peaks) else 0.0
