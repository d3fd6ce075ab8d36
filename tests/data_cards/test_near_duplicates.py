"""Copies across splits are found, and nothing else."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from phi3v_data.data_cards.report.near_duplicates import near_duplicates
from phi3v_data.data_cards.report.thumbnails import signature, thumbnail


def _signature(seed: int, size: tuple[int, int] = (320, 240), quality: int = 95) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=quality)
    stream.seek(0)
    return signature(thumbnail(stream))


def test_a_copy_that_was_scaled_and_encoded_again_is_found_across_splits_only() -> None:
    images = [_signature(seed) for seed in range(40)]
    copy = _signature(7, (800, 600), 40)
    found = near_duplicates([*images, None, copy, _signature(5)], [0] * 40 + [1, 1, 0])
    assert [(pair.first, pair.second) for pair in found] == [(7, 41)]
    assert 0 < found[0].difference < 3


def test_an_image_is_paired_once_however_many_equal_ones_there_are() -> None:
    one, near = _signature(1), _signature(1, (640, 480), 60)
    found = near_duplicates([one] * 50 + [near, one] + [one] * 50, [0] * 51 + [1] * 51)
    assert [(pair.first, pair.second, pair.difference) for pair in found] == [(0, 51, 0.0)]


def test_plain_images_of_different_colours_are_no_copies() -> None:
    def plain(colour: tuple[int, int, int]) -> bytes:
        return signature(Image.new("RGB", (160, 120), colour))

    assert near_duplicates([plain((30, 60, 20)), plain((60, 30, 60))], [0, 1]) == []
    assert len(near_duplicates([plain((30, 60, 20)), plain((30, 60, 20))], [0, 1])) == 1


def test_thousands_of_images_on_one_background_are_compared_in_reasonable_time() -> None:
    images = [signature(Image.new("RGB", (160, 120), (number % 200, 0, 0))) for number in range(3000)]
    pairs = near_duplicates([*images, images[0]], [0] * 3000 + [1])
    assert pairs[0].difference == 0
