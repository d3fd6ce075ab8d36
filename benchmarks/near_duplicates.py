"""How often near-identical images are found, and how often distinct ones are taken for them.

    python benchmarks/near_duplicates.py [IMAGES ...] [--generated N]

Each image is changed in the ways that copies of images are: compressed anew, scaled, cut, brightened. Recall is how
many of the copies are found. The false-positive rate is over all pairs of the images as they are, which are taken to be
distinct. IMAGES are folders; without them only generated images are used.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from phi3v_data.schema.index.colours import Colours, colours_of, same_colours
from phi3v_data.schema.index.looks import NEAR_BITS, hash_of, near_identical, thumbnail_of
from phi3v_data.schema.index.near_hashes import near_hashes
from phi3v_data.schema.index.pixels import Grey

Change = Callable[[Image.Image], Image.Image]
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def compressed(quality: int) -> Change:
    """Return what saves an image as JPEG."""

    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def scaled(factor: float) -> Change:
    """Return what scales an image."""
    return lambda image: image.resize(
        (max(8, round(image.width * factor)), max(8, round(image.height * factor))), Image.Resampling.BICUBIC
    )


def cut(left: float, top: float, right: float, bottom: float) -> Change:
    """Return what cuts parts of an image off its edges."""
    return lambda image: image.crop(
        (
            round(image.width * left),
            round(image.height * top),
            round(image.width * (1 - right)),
            round(image.height * (1 - bottom)),
        )
    )


def brightened(factor: float) -> Change:
    """Return what multiplies an image's brightness."""
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


CHANGES: dict[str, Change] = {
    "JPEG, quality 50": compressed(50),
    "JPEG, quality 75": compressed(75),
    "JPEG, quality 95": compressed(95),
    "scaled to 0.5": scaled(0.5),
    "scaled to 2": scaled(2),
    "1 % cut off each edge": cut(0.01, 0.01, 0.01, 0.01),
    "2 % cut off each edge": cut(0.02, 0.02, 0.02, 0.02),
    "3 % cut off one edge": cut(0.03, 0, 0, 0),
    "brightness 0.8": brightened(0.8),
    "brightness 1.2": brightened(1.2),
}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--generated", type=int, default=300)
    arguments = parser.parse_args()
    files = sorted(file for root in arguments.images for file in root.rglob("*") if file.suffix in _SUFFIXES)
    images = [_opened(file) for file in files] + [generated(number) for number in range(arguments.generated)]
    looks = [look(image) for image in images]
    print(f"{len(files)} real and {arguments.generated} generated images\n")
    print("| copy | found |\n| --- | --- |")
    for name, change in CHANGES.items():
        found = [is_near(one, look(change(image))) for one, image in zip(looks, images, strict=True)]
        print(f"| {name} | {np.mean(found):.3f} |", flush=True)
    pairs = len(images) * (len(images) - 1) // 2
    print(f"\nof {pairs:,} pairs of distinct images taken for near-identical: {false_positives(looks) / pairs:.1e}")


class Look(NamedTuple):
    """What is known of an image: its thumbnail and its colours."""

    thumbnail: Grey
    colours: Colours


def look(image: Image.Image) -> Look:
    """Look at an image in RGB."""
    return Look(thumbnail_of(np.asarray(image.convert("L"))), colours_of(image))


def is_near(one: Look, other: Look) -> bool:
    """Tell whether two images are near-identical: by their hashes, then by their thumbnails and colours."""
    if (hash_of(one.thumbnail) ^ hash_of(other.thumbnail)).bit_count() > NEAR_BITS:
        return False
    return near_identical(one.thumbnail, other.thumbnail) and same_colours(one.colours, other.colours)


def false_positives(looks: list[Look]) -> int:
    """Count the pairs that are taken for near-identical."""
    hashes = np.array([hash_of(each.thumbnail) for each in looks], np.uint64)
    values, places = np.unique(hashes, return_inverse=True)
    members: list[list[int]] = [[] for _ in values]
    for number, place in enumerate(places.reshape(-1).tolist()):
        members[place].append(number)
    near = near_hashes(values, values)
    pairs = {
        (min(one, other), max(one, other))
        for first, second in zip(near.one.tolist(), near.other.tolist(), strict=True)
        for one in members[first]
        for other in members[second]
        if one != other
    }
    return sum(is_near(looks[one], looks[other]) for one, other in pairs)


def generated(number: int) -> Image.Image:
    """Return a smooth image of random colours."""
    random = np.random.default_rng([7, number])
    cells = int(random.integers(3, 24))
    small = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
    return small.resize((int(random.integers(240, 640)), int(random.integers(240, 480))), Image.Resampling.BICUBIC)


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        rgb: Image.Image = image.convert("RGB")
        return rgb


if __name__ == "__main__":
    main()
