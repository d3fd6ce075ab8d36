"""`--json` on every command that prints a result: one object on standard output, and everything else elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from colours import colour_records, write_dataset
from command_line import typed
from small_run import write_run

from phi3v_data.cli.main import COMMANDS, load_command

TRAIN = (
    "train data --model tiny --strategy full --precision fp32 --batch-size 3 --out trained "
    "--set evaluation.max_new_tokens=4 --set log_every=1"
)
EVALUATE = "evaluate data --checkpoint trained --precision fp32 --max-new-tokens 4"

# Command lines, and what the object that each prints has; in this order, for some need what an earlier one made.
LINES: dict[str, set[str]] = {
    "convert --source image-folder --input data/images --out made --workers 1": {"out", "splits", "validated", "notes"},
    "convert --source image-folder --input data/images --out made": {"already_complete"},
    "select made --out chosen --sample 2": {"out", "read", "splits", "left_out"},
    "export-data data --format trl --out rows": {"out", "format", "splits"},
    "card made": {"card", "kept", "measured"},
    "report made --out pages": {"page", "records", "findings"},
    "push made owner/name --dry-run": {"repository", "kind", "files", "bytes"},
    "order data --steps 0:2": {"steps"},
    "estimate data --model tiny": {"data", "strategies", "gpu_memory", "epoch"},
    f"{TRAIN} --dry-run": {"out", "samples", "steps", "train_splits", "eval_split", "model", "settings"},
    TRAIN: {"out", "model", "steps", "before", "after", "last_loss"},
    f"{TRAIN} --seed 0": {"already_finished"},
    EVALUATE: {"out", "split", "metrics", "primary", "correct", "total"},
    f"{EVALUATE} --compare trained/eval_before.json": {"comparison"},
    "predict --checkpoint trained --precision fp32 --prompt Hello? --max-new-tokens 2": {"answer", "prompt", "tokens"},
    "predict --checkpoint trained --precision fp32 --data data --limit 1": {"answers"},
    "export trained --out served": {"out", "bytes", "files"},
    "card trained": {"card", "kept"},
    "report run --out run-pages": {"page", "runs", "questions"},
    "recipes": {"recipes"},
    "recipes docvqa-lora": {"recipes"},
    "rules": {"rules"},
    "rules R101": {"rules"},
    "sources": {"sources"},
    "sources new mine": {"source", "file", "test", "card"},
    "doctor": {"Versions", "Extras", "Disk"},
}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all lines run, one after another."""
    root = tmp_path_factory.mktemp("json")
    write_dataset(root / "data", {split: colour_records(split, 3) for split in ("train", "val")})
    write_run(root / "run", root / "data", 1e-3, ["cat"] * 5)
    return root


def test_every_result_is_one_object_and_nothing_else(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for line, keys in LINES.items():
        answer = typed(capfd, *line.split(), "--json")
        assert answer.code == 0, f"{line}: {answer.err}"
        found = json.loads(answer.out)
        assert isinstance(found, dict), line
        assert keys <= found.keys(), line


def test_a_validation_is_an_object_a_line_the_summary_last(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    answer = typed(capfd, "validate", "data", "--json", "--quiet")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 1
    assert all("rule" in row for row in rows[:-1])
    assert rows[-1]["summary"]["errors"] == 3
    assert typed(capfd, "validate", "data", "--format", "json").out == answer.out


def test_every_command_that_prints_a_result_has_json() -> None:
    with_json = {
        name
        for name in COMMANDS
        for param in load_command(name).params
        if isinstance(param, click.Option) and "--json" in param.opts
    }
    assert set(COMMANDS) - with_json == {"completion", "demo"}
    assert with_json - {line.split()[0] for line in LINES} == {"validate"}
