"""Records of the UCF form (`convert --source ucf101 --frames 1`) and their images, made for benchmarks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

_CLASSES = [
    "ApplyEyeMakeup",
    "ApplyLipstick",
    "Archery",
    "BabyCrawling",
    "BalanceBeam",
    "BandMarching",
    "BaseballPitch",
]


def image_name(number: int) -> str:
    """Return the name of the image that a record shows, below images/."""
    return f"{_clip(number)}.0.jpg"


def write_records(root: Path, count: int, split: str = "train", first: int = 0) -> int:
    """Write a split's JSONL file, each record with an image of its own, and return its size in bytes."""
    prompt = f"Classify the video into one of the following classes: {', '.join(_CLASSES)}."
    with (root / f"x_{split}.jsonl").open("w") as stream:
        for number in range(first, first + count):
            label = _CLASSES[number % len(_CLASSES)]
            turn = {"images": [image_name(number)], "user": prompt, "assistant": label}
            video = {"group": f"g{number % 25:02}", "label": label, "video": f"train/{label}/{_clip(number)}.avi"}
            meta = {**video, "sha256": "0123456789abcdef" * 4, "frames": [0], "pts": [0.0]}
            record = {"id": f"train-{number:010}", "source": "ucf101", "conversations": [turn], "meta": meta}
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        return stream.tell()


def write_images(root: Path, count: int) -> list[Path]:
    """Write JPEG files of 640x480 below images/: blurred noise, which takes more bytes than a photograph."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    files = [root / "images" / image_name(number) for number in range(count)]
    for file in files:
        small = Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(file, quality=85)
    return files


def link_images(root: Path, files: list[Path], count: int) -> list[Path]:
    """Give files more names, until there are so many, and return all names."""
    names = [root / "images" / image_name(number) for number in range(count)]
    for number in range(len(files), count):
        os.link(files[number % len(files)], names[number])
    return names


def _clip(number: int) -> str:
    return f"v_{_CLASSES[number % len(_CLASSES)]}_g{number % 25:02}_c{number:08}"
