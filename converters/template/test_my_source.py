"""The source my_source, converted as the command line does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

SOURCE = f"{Path(__file__).with_name('my_source.py')}:MySource"


def read(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_images_become_questions_and_what_has_no_answer_is_refused_by_name(tmp_path: Path) -> None:
    """One sample is good, one is refused by the converter, one by discovery."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for name, answer in (("bus.png", "A red bus."), ("blank.png", ""), ("lost.png", None)):
        Image.new("RGB", (32, 24), "red").save(raw / name)
        if answer is not None:
            (raw / f"{name}.txt").write_text(answer)
    options = ["--source", SOURCE, "--input", raw, "--out", out, "--workers", "1", "--split-ratio", "train=1"]
    subprocess.run([sys.executable, "-m", "phi3v_data.cli", "convert", *map(str, options)], check=True)

    (record,) = read(out / "my_source_train.jsonl")
    assert record["conversations"] == [
        {"images": ["train/bus.png.0.png"], "user": "What is this?", "assistant": "A red bus."}
    ]
    assert (out / "images/train/bus.png.0.png").read_bytes() == (raw / "bus.png").read_bytes()
    assert [(row["path"], row["message"]) for row in read(out / "quarantine.jsonl")] == [
        ("blank.png", "blank.png.txt: empty; expected the answer"),
        ("lost.png", "no answer beside it; expected lost.png.txt"),
    ]
