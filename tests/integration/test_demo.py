"""The whole way, as `make demo` goes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_ends_with_a_model_that_tells_the_classes_apart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "phi3v_data.cli", "demo", "--out", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=880)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    before, after = (
        json.loads((tmp_path / "demo" / "run" / f"eval_{when}.json").read_text())["metrics"]["accuracy"]["value"]
        for when in ("before", "after")
    )
    assert after >= 0.8
    assert before <= 0.34
    lines = done.stdout.splitlines()
    assert any(line.startswith(f"validation accuracy: {after:.3f} ") for line in lines)
    # It ends in something to look at, and says where that is.
    pages = [line.split()[-1] for line in lines[-2:]]
    assert pages == [(tmp_path / f"demo/report-{of}/index.html").resolve().as_uri() for of in ("data", "run")]
    assert all((tmp_path / f"demo/report-{of}/data/summary.js").is_file() for of in ("data", "run"))
    groups = {}
    for split in ("train", "val", "test"):
        lines = (tmp_path / "demo" / "data" / f"ucf101_{split}.jsonl").read_text().splitlines()
        groups[split] = {json.loads(line)["meta"]["group"] for line in lines}
    assert groups["train"].isdisjoint(groups["val"] | groups["test"])


def test_the_demo_leaves_other_peoples_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    command = [sys.executable, "-m", "phi3v_data.cli", "demo", "--out", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 2
    assert "holds files that the demo did not make; choose another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
