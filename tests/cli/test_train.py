from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from colours import colour_records, write_dataset

from phi3v_data.cli.main import run_command
from phi3v_data.schema.errors import DatasetError, ModelFolderError, OutputError, UsageError

TINY = [
    *("--model", "tiny", "--strategy", "full", "--precision", "fp32", "--batch-size", "2"),
    *("--set", "model.gradient_checkpointing=0", "--set", "evaluation.enabled=false", "--set", "log_every=1"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two small datasets."""
    for name, count in (("a", 4), ("b", 2)):
        write_dataset(tmp_path / name, {"train": colour_records(name, count)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_says_what_would_be_done_and_needs_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--data", "a:1", "--data", "b:1", "--batch-size", "4", "--dry-run"]) == 0
    first, splits, model, config = capsys.readouterr().out.split("\n", 3)
    assert first == "6 samples an epoch, 2 steps of 4; goes to runs/a-lora"
    assert splits.startswith("training on split train, train; nothing is evaluated: no split val, dev or test")
    assert model.startswith("model microsoft/Phi-3.5-vision-instruct: ")
    settings = yaml.safe_load(config)
    assert settings["model"]["name"] == "microsoft/Phi-3.5-vision-instruct"
    assert settings["optimizer"]["lr"] == 2e-4
    assert "null" not in config
    assert not (here / "runs").exists()


def test_a_dry_run_needs_no_torch(here: Path) -> None:
    program = (
        "import sys; from phi3v_data.cli.main import run_command\n"
        "run_command(['train', 'a', '--model', 'tiny', '--dry-run'])\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_model_that_is_not_there_is_found_out_by_a_dry_run(here: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"--model ./nowhere: no such folder"):
        run_command(["train", "a", "--model", "./nowhere", "--dry-run"])


def test_settings_that_are_shown_are_those_of_the_file_they_are_written_to(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.yaml").write_text("lora: {rank: 8}\nbatch-size: 4\noptimizer.lr: 0.01\n")
    assert run_command(["train", "--config", "mine.yaml", "--batch-size", "2", "--show-config"]) == 0
    shown = capsys.readouterr().out
    settings = yaml.safe_load(shown)
    assert (settings["batch_size"], settings["lora"]["rank"], settings["optimizer"]["lr"]) == (2, 8, 0.01)
    (here / "shown.yaml").write_text(shown)
    assert run_command(["train", "--config", "shown.yaml", "--show-config"]) == 0
    assert capsys.readouterr().out == shown


def test_a_recipe_gives_the_settings_and_options_override_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--recipe", "docvqa-lora", "--epochs", "1", "--show-config"]) == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert (settings["batch_size"], settings["epochs"], settings["lora"]["rank"]) == (64, 1, 32)


def test_more_gpus_than_there_are_is_one_line(here: Path) -> None:
    if torch.cuda.device_count() > 8:
        pytest.skip("this machine has as many")
    with pytest.raises(UsageError, match="--gpus 9: this machine has"):
        run_command(["train", "a", *TINY, "--gpus", "9"])


def test_a_dataset_without_the_split_train_is_not_trained_on_another(here: Path) -> None:
    write_dataset(here / "only-val", {"val": colour_records("val", 2)})
    with pytest.raises(DatasetError, match="no split 'train' to train on; there are: val; name one by --train-split"):
        run_command(["train", "only-val", "--model", "tiny", "--dry-run"])
    with pytest.raises(DatasetError, match=r"no split 'vall' to train on; there are: val$"):
        run_command(["train", "only-val", "--model", "tiny", "--train-split", "vall", "--dry-run"])


def test_a_split_that_is_trained_on_is_evaluated_on_only_if_it_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(here / "only-val", {"val": colour_records("val", 2)})
    command = ["train", "only-val", "--model", "tiny", "--train-split", "val", "--dry-run"]
    assert run_command(command) == 0
    assert "training on split val; nothing is evaluated: no split" in capsys.readouterr().out
    assert run_command([*command, "--eval-split", "val"]) == 0
    assert "evaluated before and after on split val, which is trained on" in capsys.readouterr().out


def test_a_number_out_of_bounds_is_named_as_it_was_given(here: Path) -> None:
    with pytest.raises(UsageError, match=r"^--batch-size 0: at least 1$"):
        run_command(["train", "a", "--batch-size", "0"])
    with pytest.raises(UsageError, match=r"^optimizer\.beta1=2: less than 1$"):
        run_command(["train", "a", "--set", "optimizer.beta1=2"])


def test_every_option_reaches_its_setting(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--num-crops",
        "2",
        "--micro-batch-tokens",
        "4096",
        "--keep",
        "5",
        "--max-tokens",
        "90",
        "--too-long",
        "drop",
        "--exact-pixels",
        "--save-every",
        "7",
        "--accumulate",
        "3",
    ]
    run_command(["train", "a", *options, "--dry-run"])
    config = yaml.safe_load(capsys.readouterr().out.split("\n", 3)[3])
    data = config["data"]
    assert (data["max_tokens"], data["too_long"], data["exact_pixels"]) == (90, "drop", True)
    assert (config["save_every"], config["accumulate"]) == (7, 3)
    assert (data["num_crops"], config["micro_batch_tokens"], config["keep_checkpoints"]) == (2, 4096, 5)


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
