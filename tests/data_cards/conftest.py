"""A dataset that shows what pages have to cope with, and its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_dataset import MARKUP, RIGHT_TO_LEFT, record, write_dataset, write_image

from phi3v_data.data_cards.report.dataset_report import ReportOptions, report_dataset
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.record import Record, Turn


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 records of train, 5 of val: markup, right-to-left text, a missing image, a copy of train in val."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    for seed in range(6):
        write_image(folder / "images" / f"train/{seed}.jpg", seed, (640, 360) if seed % 2 else (320, 240))
    write_image(folder / "images/val/copy.jpg", 3, (640, 360), quality=60)
    write_image(folder / "images/val/new é#1.jpg", 99)
    train = [
        record(
            f"train-{number}",
            [f"train/{number % 6}.jpg"],
            "Which one?",
            f"class {number % 3}",
            label=f"class {number % 3}",
        )
        for number in range(300)
    ]
    val = [
        record("val-copy", ["val/copy.jpg"], "Which one?", "class 0", label="class 0"),
        record("val-markup", ["val/new é#1.jpg"], MARKUP, "</script>", label=MARKUP, __proto__={"polluted": "yes"}),
        record("val-right-to-left", ["val/new é#1.jpg"], RIGHT_TO_LEFT, "כן", label="class 1", answers=["כן", "yes"]),
        record("val-missing", ["val/none.jpg"], "Which one?", "class 2", label="class 2"),
        Record(
            id="val/talk#1?",
            source="image-folder",
            conversations=[
                Turn(images=["train/0.jpg", "train/1.jpg"], user="What do they show?", assistant="Two."),
                Turn(user="Say that again.", assistant="No.", supervised=False),
                Turn(images=["train/2.jpg"], user="And this?", assistant="One."),
            ],
        ),
    ]
    failed = {"id": "train-x", "split": "train", "path": "raw/x.jpg", "stage": "decode", "exception": "MediaError"}
    return write_dataset(folder, {"train": train, "val": val}, [{**failed, "message": MARKUP}])


@pytest.fixture(scope="session")
def report(dataset: Path) -> Path:
    """The report of the dataset, beside it."""
    out = dataset.parent / "report"
    report_dataset(open_dataset(str(dataset)), str(out), ReportOptions(model_pixels=20))
    return out
