"""Datasets that a tiny model can learn in seconds, for the tests of the schema and of the trainer."""

from __future__ import annotations

import pytest
from colours import colour_records, turn, write_dataset

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.record import Record


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("colours")
    return write_dataset(root, {"train": colour_records("train", 9), "val": colour_records("val", 3)})


@pytest.fixture(scope="session")
def mixed_conversations(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images in any turn, turns without images, and a record without any."""
    records = [
        Record(
            id="late-images",
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
