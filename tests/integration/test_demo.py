"""The whole way, as `make demo` goes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from colours import colour_records, write_dataset
from command_line import typed

from phi3v_data.cli import demo_clips
from phi3v_data.cli.demo import _next_steps


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_demo_ends_with_a_model_that_tells_the_classes_apart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "phi3v_data.cli", "demo", "--out", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=880)
    assert done.returncode == 0, done.stderr
    # What takes long shows its progress, and nothing warns.
    assert [line for line in done.stderr.splitlines() if not re.match(r"[A-Z][a-z ]+: [\d,.]+ ", line)] == []
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


# Each command made small: what stands last counts.
SMALL = {
    "convert": "--input clips --limit 1 --workers 1",
    "train": "--precision fp32 --batch-size 2 --set evaluation.enabled=false",
    "predict": "--limit 1 --max-new-tokens 2",
    "validate": "--workers 1",
}


def test_what_the_demo_says_to_try_next_is_pasted_into_a_shell_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    groups = {"train": range(1, 3), "val": range(3, 5), "test": range(5, 7)}
    monkeypatch.setattr(demo_clips, "GROUPS", groups)
    demo_clips.write_clips(Path("clips"))
    data, run = Path("a demo/data"), Path("a demo/run")
    write_dataset(data, {split: colour_records(split, 3) for split in ("train", "val")})
    assert typed(capfd, "export", "tiny", "--out", str(run / "model")).code == 0
    # The shell takes the lines apart; the commands that it would start run here, which is quicker.
    listing = 'phi3v-data() { printf "%s\\0" "$@" END; }\n'
    pasted = subprocess.run(["bash", "-e"], input=listing + _next_steps(data, run), capture_output=True, text=True)
    assert (pasted.returncode, pasted.stderr) == (0, "")
    commands = [line.split("\0")[:-1] for line in pasted.stdout.split("END\0") if line]
    assert [line[0] for line in commands] == ["train", "predict", "convert", "validate", "train"]
    for line in commands:
        model = [] if "--model" in line or line[0] != "train" else ["--model", "tiny"]
        answer = typed(capfd, *line, *SMALL[line[0]].split(), *model)
        assert answer.code == 0, answer.err
    assert (Path(f"{run}-lora") / "model" / "adapter_config.json").is_file()
    assert Path("runs/ucf101-lora/model").is_dir()
