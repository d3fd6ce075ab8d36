"""What is loaded: generated records with images as such data has them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from phi3v_data.converters.images.store import encode_png
from phi3v_data.schema.record import Record, Turn
from phi3v_data.trainer.phi3v import Phi3VImageProcessor


class RawSample(NamedTuple):
    """One record, and the encoded images that it shows, in order."""

    record: Record
    images: list[bytes]


class Case(NamedTuple):
    """Data of one kind.

    Args:
        name: for the table.
        num_crops: most crops an image.
        samples: how many are loaded.
        make: returns the encoded images of sample k, and their suffix.
    """

    name: str
    num_crops: int
    samples: int
    make: Callable[[int], tuple[list[bytes], str]]

    def raw(self) -> list[RawSample]:
        """Generate the samples."""
        return [raw_sample(number, *self.make(number)) for number in range(self.samples)]


def raw_sample(number: int, images: list[bytes], suffix: str) -> RawSample:
    """Make a record of images."""
    shown = [f"train/{number // 1000}/{number}.{place}{suffix}" for place in range(len(images))]
    turn = Turn(images=shown, user="What is to be seen here? Answer in one word.", assistant="Something.")
    return RawSample(Record(id=f"train-{number:010d}", conversations=[turn]), images)


def frames(number: int) -> tuple[list[bytes], str]:
    """Eight frames of a clip: something that moves over something that does not."""
    draw = np.random.default_rng(number)
    still = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )
    grain = draw.normal(0, 4, (240, 320, 3))
    clip = []
    for place in range(8):
        frame = still.copy()
        ImageDraw.Draw(frame).ellipse([30 * place, 60, 30 * place + 80, 160], fill=(200, 30, 40))
        noisy = np.clip(np.asarray(frame) + grain, 0, 255).astype(np.uint8)
        clip.append(encoded(Image.fromarray(noisy), "JPEG", quality=90))
    return clip, ".jpg"


def scanned_page(number: int) -> tuple[list[bytes], str]:
    """A page of 300 dots an inch: lines of black marks on paper that is not quite white."""
    draw = np.random.default_rng(number)
    page = Image.fromarray(draw.normal(240, 2.5, (3300, 2550)).clip(0, 255).astype(np.uint8)).convert("RGB")
    pen = ImageDraw.Draw(page)
    for line in range(250, 3050, 70):
        at = 250
        while at < 2200:
            width = int(draw.integers(10, 34))
            pen.rectangle([at, line, at + width, line + int(draw.integers(20, 44))], fill=(30, 30, 30))
            at += width + int(draw.choice([8, 8, 8, 30]))
    return [encoded(page, "JPEG", quality=90)], ".jpg"


def fitted_page(number: int) -> tuple[list[bytes], str]:
    """The same page as `convert --fit-crops` keeps it: at the size the model sees it in."""
    (data,), _ = scanned_page(number)
    page = Image.open(io.BytesIO(data))
    grid = Phi3VImageProcessor(16).crop_grid(*page.size)
    fitted = page.resize((grid.content_width, grid.content_height), Image.Resampling.BILINEAR)
    return [encode_png(np.asarray(fitted))], ".png"


def small_image(number: int) -> tuple[list[bytes], str]:
    """Next to nothing, for what does not depend on images."""
    colour = (number % 256, number // 256 % 256, 90)
    return [encoded(Image.new("RGB", (32, 32), colour), "JPEG")], ".jpg"


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """Encode an image."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


CASES = [
    Case("8 frames of 320x240, 4 crops", 4, 12, frames),
    Case("2550x3300 page as scanned, 16 crops", 16, 6, scanned_page),
    Case("the same page fitted, 16 crops", 16, 6, fitted_page),
]
