"""A dataset that a tiny model can learn in seconds: pictures of one colour, and what the colour is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.folder import LocalFolder
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.trainer.config import TrainConfig, make_config

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def turn(answer: str, *, images: Sequence[str] = (), user: str = "Which colour?", **more: Any) -> Turn:
    return Turn(images=list(images), user=user, assistant=answer, **more)


def write_dataset(root: Path, splits: dict[str, list[Record]]) -> Dataset:
    """Write records as a bare dataset folder, with a plain picture for each path they show."""
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


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("colours")
    return write_dataset(root, {"train": colour_records("train", 9), "val": colour_records("val", 3)})


@pytest.fixture(scope="session")
def mixed_conversations(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pictures in any turn, turns without pictures, and a record without any."""
    records = [
        Record(
            id="late-pictures",
            conversations=[
                turn("hello", user="Hi."),
                turn("red", images=["a/red-0.png"]),
                turn("blue and green", images=["a/blue-0.png", "a/green-0.png"], user="And these?"),
                turn("welcome", user="Thanks."),
            ],
        ),
        Record(id="text-only", conversations=[turn("4", user="2 + 2?"), turn("six", user="3 + 3?", answers=["6"])]),
        Record(id="one-turn", conversations=[turn("green", images=["a/green-1.png"])]),
    ]
    return write_dataset(tmp_path_factory.mktemp("mixed"), {"train": records})


@pytest.fixture
def tiny_run() -> Callable[..., TrainConfig]:
    """Make a configuration: the tiny model in float32, in few and small steps, changed as the caller says."""

    def make(settings: Mapping[str, Any] = MappingProxyType({})) -> TrainConfig:
        return make_config({**_TINY_RUN, **settings})

    return make


_TINY_RUN = {
    "model.name": "tiny",
    "model.precision": "fp32",
    "model.gradient_checkpointing": False,
    "strategy": "full",
    "batch_size": 3,
    "accumulate": 1,
    "log_every": 1,
    "optimizer.lr": 1e-3,
    "evaluation.max_new_tokens": 8,
}
