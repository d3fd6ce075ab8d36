"""`select` and `validate --fix` as they are typed: what they print, and their exit codes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from chosen import ids_by_split, labelled

from phi3v_data.cli.main import run_command
from phi3v_data.schema.rules.examples import Example, line


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phi3v_data.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_select_says_what_was_read_selected_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = labelled(tmp_path / "data", {"train": 10}), tmp_path / "out"
    options = ["--where", "label == 'cat'", "--split-by", "ratio", "--ratio", "train=0.8,val=0.2", "--seed", "1"]
    assert run_command(["select", str(data), "--out", str(out), *options, "--images", "link"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{out}: 10 records read = 5 selected + 5 left out",
        "  train: 4 records, 4 images",
        "  val: 1 record, 1 image",
        "  left out by --where label == 'cat': 5",
        "  train: 4 of 5 records, 80.00%; the ratio asks for 80.00%",
        "  val: 1 of 5 records, 20.00%; the ratio asks for 20.00%",
        "  at most 0.0 records off the ratio",
    ]
    assert {split: len(ids) for split, ids in ids_by_split(out).items()} == {"train": 4, "val": 1}
    made_by = "--split-by ratio --seed 1 --ratio train=4/5,val=1/5"
    assert f"phi3v-data select data --where {shlex.quote(options[1])} {made_by}\n" in (out / "README.md").read_text()


def test_what_cannot_work_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", {"train": 2})
    cases: list[tuple[list[str | Path], str]] = [
        (["select", data, "--out", data], "not empty"),
        (["select", tmp_path / "no", "--out", tmp_path / "out"], "no such dataset folder"),
        (["select", data, "--out", tmp_path / "out", "--where", "open('x')"], "is not understood here"),
        (["select", data, "--out", tmp_path / "out", "--ratio", "a=1"], "give --split-by, too"),
        (["validate", data, "--out", tmp_path / "out"], "give --fix, too"),
    ]
    for arguments, message in cases:
        done = run(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["select", "DATA", "--out", "OUT", "--stratify"],
        ["select", "DATA", "--out", "OUT", "--split-by", "group", "--ratio", "a/b=1"],
        ["validate", "DATA", "DATA", "--fix", "--out", "OUT"],
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], tmp_path: Path) -> None:
    from phi3v_data.schema.errors import UsageError

    data = labelled(tmp_path / "data", {"train": 2})
    places = {"DATA": str(data), "OUT": str(tmp_path / "out")}
    with pytest.raises(UsageError, match=r"--sample|a/b|one folder for 2 datasets"):
        run_command([places.get(each, each) for each in arguments])


def test_fix_repairs_in_place_then_reports_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    lines = [line("a", user="Cafe\u0301?"), line("b", user="<|end|>"), line("c", meta={"group": "g"})]
    Example({"made_train.jsonl": "\n".join(lines), "made_val.jsonl": line("d", meta={"group": "g"})}).write(data)
    assert run_command(["validate", "--fix", str(data)]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[:4] == [
        f"{data}: 4 records read = 3 written + 1 quarantined",
        "  repaired T405 not-nfc: 1",
        "  quarantined T401 special-token: 1",
        f"  what was there is in {data}.before-fix",
    ]
    assert "S601" in printed.out
    assert run_command(["validate", "--fix", "--split-by", "group", str(data)]) == 0
    assert ids_by_split(data) == {"train": ["a", "c", "d"], "val": []}
