"""What a run leaves behind, written without training anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_dataset import MARKUP


def write_run(folder: Path, data: Path, lr: float, given: list[str]) -> Path:
    """Write what a run leaves behind: all wrong before, as given after."""
    expected = ["cat", "dog", "cat", "dog", MARKUP]
    folder.mkdir(parents=True)
    config = {"strategy": "lora", "optimizer": {"lr": lr}, "model": {"name": "tiny"}}
    row = {
        "address": str(data),
        "files": {"train": "a", "val": "b", "test": "c"},
        "shards": {},
        "sha256": "ab" * 32,
        "weight": None,
    }
    run = {"config": config, "data": [row], "versions": {"torch": "2.13"}, "result": {"steps": 3, "last_loss": 0.25}}
    (folder / "run.json").write_text(json.dumps(run))
    rows = [{"step": step, "loss": 1 / step, "learning_rate": lr} for step in (1, 2, 3)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo')
    (folder / "throughput.jsonl").write_text(
        json.dumps({"step": 2, "images_per_second": 5.5, "memory_gb": None}) + "\n"
    )
    _write_evaluation(folder / "eval_before.json", expected, ["x"] * 5)
    _write_evaluation(folder / "eval_after.json", expected, given)
    return folder


def _write_evaluation(path: Path, expected: list[str], given: list[str]) -> None:
    answers: list[dict[str, Any]] = [
        {"id": f"q-{place}", "turn": 0, "expected": one, "given": other, "correct": one.lower() == other.lower()}
        for place, (one, other) in enumerate(zip(expected, given, strict=True))
    ]
    correct = sum(answer["correct"] for answer in answers)
    metrics = {"accuracy": {"value": correct / 5, "count": 5, "low": 0.1, "high": 0.9}}
    path.write_text(
        json.dumps({"split": "val", "metrics": metrics, "correct": correct, "total": 5, "answers": answers})
    )
