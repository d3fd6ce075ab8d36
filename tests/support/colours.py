"""A dataset that a tiny model can learn in seconds: images of one colour, and what the colour is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def turn(answer: str, *, images: Sequence[str] = (), user: str = "Which colour?", **more: Any) -> Turn:
    return Turn(images=list(images), user=user, assistant=answer, **more)


def write_dataset(root: Path, splits: dict[str, list[Record]]) -> Dataset:
    """Write records as a bare dataset folder, with a plain image for each path they show."""
    for split, records in splits.items():
        write_records(LocalFolder(root), f"colours_{split}.jsonl", records)
        for record in records:
            for name in record.images():
                path = root / "images" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                colour = COLOURS[path.stem.split("-")[0]]
                Image.new("RGB", (96, 72), colour).save(path)
    return open_dataset(str(root))


def colour_records(split: str, count: int) -> list[Record]:
    records = []
    for number in range(count):
        colour = list(COLOURS)[number % len(COLOURS)]
        image = f"{split}/{colour}-{number}.png"
        records.append(Record(id=f"{split}-{number}", conversations=[turn(colour, images=[image])]))
    return records
