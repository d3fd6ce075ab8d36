from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from colours import colour_records, write_dataset

from phi3v_data.cli.main import run_command
from phi3v_data.schema.errors import DatasetError, OutputError

TINY = [
    *("--model", "tiny", "--strategy", "full", "--precision", "fp32", "--batch-size", "2"),
    *("--set", "model.gradient_checkpointing=0", "--set", "evaluation.enabled=false", "--set", "log_every=1"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with two small datasets."""
    for name, count in (("a", 4), ("b", 2)):
        write_dataset(tmp_path / name, {"train": colour_records(name, count)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_says_what_would_be_done_and_needs_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--data", "a:1", "--data", "b:1", "--batch-size", "4", "--dry-run"]) == 0
    first, _, config = capsys.readouterr().out.partition("\n")
    assert first == "6 samples an epoch, 2 steps of 4; would go to runs/a-lora"
    assert json.loads(config)["model"]["name"] == "microsoft/Phi-3.5-vision-instruct"
    assert not (here / "runs").exists()


def test_every_option_reaches_its_setting(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--max-tokens", "90", "--too-long", "drop", "--exact-pixels", "--save-every", "7", "--accumulate", "3"]
    run_command(["train", "a", *options, "--dry-run"])
    config = json.loads(capsys.readouterr().out.partition("\n")[2])
    data = config["data"]
    assert (data["max_tokens"], data["too_long"], data["exact_pixels"]) == (90, "drop", True)
    assert (config["save_every"], config["accumulate"]) == (7, 3)


def test_what_is_too_long_is_named_and_nothing_is_begun(here: Path) -> None:
    with pytest.raises(DatasetError, match=r"records of more than 20 tokens: 4 \(a-0: \d+, .* --too-long drop"):
        run_command(["train", "a", *TINY, "--max-tokens", "20"])
    assert not (here / "runs" / "a-full" / "run.json").exists()


@pytest.mark.slow
def test_the_same_command_again_says_that_the_run_is_finished(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "a", *TINY]
    assert run_command(command) == 0
    assert "model in runs/a-full/model; watch the losses with" in capsys.readouterr().out
    assert run_command(command) == 0
    wanted = "runs/a-full: this run is finished, its model is in runs/a-full/model; another --out starts another run\n"
    assert capsys.readouterr().out == wanted
    with pytest.raises(OutputError, match="holds a finished or unfinished run"):
        run_command([*command, "--resume", "never"])
