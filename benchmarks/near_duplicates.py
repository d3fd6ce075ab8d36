"""How often near-identical images are found, and how often distinct ones are taken for them.

    python benchmarks/near_duplicates.py [IMAGES ...] [--generated N]

Each image is changed in the ways that copies of images are: compressed anew, scaled, cut, brightened. Copies are saved
as JPEG, of quality 95 where nothing else is said, and decoded as `validate --level pixels` does. Recall is how many of
the copies are found. The false-positive rate is over all pairs of the images as they are, which are taken to be
distinct. IMAGES are files or folders; without them only generated images are used. Beside it `imagededup`'s PHash, at
the threshold that it has by itself, where it is installed: `pip install --target PEERS imagededup`, and PEERS on
PYTHONPATH. Milliseconds are of the processor: to decode one of the images and find out what is compared.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from phi3v_data.schema.index.colours import Colours, colours_of, same_colours
from phi3v_data.schema.index.header import header_of
from phi3v_data.schema.index.looks import LEAST_SIDE, NEAR_BITS, hash_of, near_identical, thumbnail_of
from phi3v_data.schema.index.near_hashes import near_hashes
from phi3v_data.schema.index.pixels import Grey, decode_grey

Change = Callable[[Image.Image], Image.Image]
_PEER_BITS = 10  # of `imagededup.methods.PHash.find_duplicates`
_SUFFIXES = {".jpg", ".jpeg", ".png"}


class Copy(NamedTuple):
    """A way to copy an image: what is done to it, and the quality of the JPEG it is saved as."""

    change: Change = lambda image: image
    quality: int = 95


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


COPIES = {
    "JPEG, quality 50": Copy(quality=50),
    "JPEG, quality 75": Copy(quality=75),
    "JPEG, quality 95": Copy(quality=95),
    "scaled to 0.5": Copy(scaled(0.5)),
    "scaled to 2": Copy(scaled(2)),
    "1 % cut off each edge": Copy(cut(0.01, 0.01, 0.01, 0.01)),
    "2 % cut off each edge": Copy(cut(0.02, 0.02, 0.02, 0.02)),
    "3 % cut off one edge": Copy(cut(0.03, 0, 0, 0)),
    "brightness 0.8": Copy(brightened(0.8)),
    "brightness 1.2": Copy(brightened(1.2)),
}


class Finder(NamedTuple):
    """A way to find near-identical images.

    Args:
        name: its name.
        look: finds out what is compared of an image, given by the bytes of its file.
        is_near: tells whether two images are near-identical.
        false_positives: counts the pairs of distinct images that are taken for it.
    """

    name: str
    look: Callable[[bytes], Any]
    is_near: Callable[[Any, Any], bool]
    false_positives: Callable[[list[Any]], int]


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--generated", type=int, default=300)
    arguments = parser.parse_args()
    given = [file for root in arguments.images for file in ([root] if root.is_file() else root.rglob("*"))]
    files = sorted(file for file in given if file.suffix in _SUFFIXES)
    originals = [file.read_bytes() for file in files]
    originals += [saved(generated(number), "PNG") for number in range(arguments.generated)]
    finders = [Finder("phi3v-data", look, is_near, false_positives), *imagededup()]
    looks, milliseconds = [], []
    for finder in finders:
        began = time.process_time()
        looks.append([finder.look(data) for data in originals])
        milliseconds.append(1000 * (time.process_time() - began) / len(originals))
    print(f"{len(files)} real and {arguments.generated} generated images\n")
    print(f"| found | {' | '.join(finder.name for finder in finders)} |\n| --- |{' ---: |' * len(finders)}")
    for name, copy in COPIES.items():
        copies = [saved(copy.change(opened(data)), "JPEG", copy.quality) for data in originals]
        recall = [
            np.mean([finder.is_near(one, finder.look(data)) for one, data in zip(known, copies, strict=True)])
            for finder, known in zip(finders, looks, strict=True)
        ]
        print(f"| {name} | {' | '.join(f'{each:.3f}' for each in recall)} |", flush=True)
    pairs = len(originals) * (len(originals) - 1) // 2
    wrong = [finder.false_positives(known) / pairs for finder, known in zip(finders, looks, strict=True)]
    print(f"| of {pairs:,} pairs of distinct images | {' | '.join(f'{each:.1e}' for each in wrong)} |")
    print(f"| milliseconds an image | {' | '.join(f'{each:.2f}' for each in milliseconds)} |")


def imagededup() -> list[Finder]:
    """Return what imagededup finds; nothing where it is not installed."""
    try:
        from imagededup.methods import PHash
    except ImportError:
        return []
    method = PHash(verbose=False)

    def look_by_peer(data: bytes) -> int:
        return int(method.encode_image(image_array=np.asarray(opened(data))), 16)

    def are_near(one: int, other: int) -> bool:
        return (one ^ other).bit_count() <= _PEER_BITS

    def count(known: list[int]) -> int:
        hashes = np.array(known, np.uint64)
        near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= _PEER_BITS
        return int(np.triu(near, 1).sum())

    return [Finder("imagededup, PHash", look_by_peer, are_near, count)]


class Look(NamedTuple):
    """What is known of an image: its thumbnail and its colours."""

    thumbnail: Grey
    colours: Colours


def look(data: bytes) -> Look:
    """Look at an image, given by the bytes of its file."""
    grey = decode_grey(data, header_of(data), LEAST_SIDE)
    return Look(thumbnail_of(grey), colours_of(Image.open(io.BytesIO(data))))


def opened(data: bytes) -> Image.Image:
    """Decode an image to RGB."""
    with Image.open(io.BytesIO(data)) as image:
        rgb: Image.Image = image.convert("RGB")
    return rgb


def saved(image: Image.Image, form: str, quality: int = 95) -> bytes:
    """Return the bytes of an image's file."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return buffer.getvalue()


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


if __name__ == "__main__":
    main()
