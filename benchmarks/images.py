"""What --fit-crops gains: images as training loads them, stored whole and stored at the size the model sees.

    python benchmarks/images.py [--crops N] [IMAGE ...]

Each image is stored in both ways, then loaded and scaled to the model's canvas as training does, in one process, best
of some rounds. Without images: the real scans and photographs, where they are, and a generated photograph of 12
megapixels.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from phi3v_data.converters.images import ImageSettings
from phi3v_data.converters.images.store import stored_image
from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.phi3v.image_processing import canvas_of

_REAL = ("documents/documents/linn.png", "documents/documents/typewriter.png", "images/grace_hopper_517x606.jpg")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("images", nargs="*", type=Path)
    given = parser.parse_args()
    images = {path.name: path.read_bytes() for path in given.images} or _default_images()
    print(f"{given.crops} crops; load and scale to the canvas, milliseconds, best of {given.rounds}")
    print(f"{'':24}{'size':>12}{'bytes':>11}{'ms':>8}{'fitted to':>12}{'bytes':>11}{'ms':>8}{'faster':>8}  pixels")
    for name, data in images.items():
        whole = stored_image(data, ImageSettings()).data
        fitted = stored_image(data, ImageSettings(fit_crops=given.crops)).data
        (before, seen), (after, seen_fitted) = (_load(stored, given.crops, given.rounds) for stored in (whole, fitted))
        same = "the same" if np.array_equal(seen, seen_fitted) else "others"
        sizes = f"{_size(whole):>12}{len(whole):>11}{before:>8.1f}{_size(fitted):>12}{len(fitted):>11}{after:>8.1f}"
        print(f"{name:24}{sizes}{before / after:>8.2f}  {same}")


def _default_images() -> dict[str, bytes]:
    folder = Path(os.environ.get("PHI3V_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    found = {Path(name).name: (folder / name).read_bytes() for name in _REAL if (folder / name).exists()}
    return {**found, "generated.jpg": _photograph()}


def _photograph() -> bytes:
    """Soft shapes with the grain of a sensor."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = np.random.default_rng(1).normal(0, 4, soft.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _load(data: bytes, crops: int, rounds: int) -> tuple[float, np.ndarray]:
    best, canvas = float("inf"), np.empty(0)
    for _ in range(rounds):
        began = time.perf_counter()
        image = Image.open(io.BytesIO(data))
        canvas = np.asarray(canvas_of(image, crop_grid(*image.size, crops)))
        best = min(best, time.perf_counter() - began)
    return best * 1000, canvas


def _size(data: bytes) -> str:
    width, height = Image.open(io.BytesIO(data)).size
    return f"{width}x{height}"


if __name__ == "__main__":
    main()
