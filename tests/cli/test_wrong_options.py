"""Every command with options and values that it does not have: one line, exit code 2, and what is near or allowed."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from command_line import typed

from phi3v_data.cli.main import COMMANDS, load_command

RANGED = [
    (name, param)
    for name in COMMANDS
    for param in load_command(name).params
    if isinstance(param, click.Option) and isinstance(param.type, (click.IntRange, click.FloatRange))
]
CHOSEN = [
    (name, param)
    for name in COMMANDS
    for param in load_command(name).params
    if isinstance(param, click.Option) and isinstance(param.type, click.Choice)
]


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    answer = typed(capfd, *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("phi3v-data: ")
    assert "unexpected" not in answer.err
    return answer.err.removeprefix("phi3v-data: ").rstrip()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "convert"])
def test_an_unknown_option_is_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    message = refused(capfd, name, "--zqzq")
    assert message == f"no option --zqzq; phi3v-data {name} --help lists them"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --warmup-steps 3", "no option --warmup-steps; give it as --set optimizer.warmup_steps=VALUE"),
        ("evaluate --lr 3", "no option --lr; give it as --set optimizer.lr=VALUE"),
        ("order --resamples 3 --steps 0:1", "no option --resamples; give it as --set evaluation.resamples=VALUE"),
        ("convert --zqzq", "no option --zqzq; options of a source need --source NAME"),
        ("export --rank 3", "no option --rank; phi3v-data export --help lists them"),
    ],
)
def test_an_option_that_is_a_setting_is_told_how_it_is_given(
    arguments: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(capfd, *arguments.split()) == message


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"completion"}])
def test_a_mistyped_option_names_the_nearest(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = [param for param in load_command(name).params if isinstance(param, click.Option)]
    flag = max((opt for param in options for opt in param.opts), key=len)
    assert flag in refused(capfd, name, f"{flag}x")


@pytest.mark.parametrize(("name", "option"), RANGED, ids=lambda each: getattr(each, "name", each))
def test_a_value_out_of_range_is_told_the_bounds(
    name: str, option: click.Option, capfd: pytest.CaptureFixture[str]
) -> None:
    message = refused(capfd, name, option.opts[0], "-1")
    assert message.startswith(f"{option.opts[0]} -1")
    assert ": at least " in message or ": above " in message


@pytest.mark.parametrize(("name", "option"), CHOSEN, ids=lambda each: getattr(each, "name", each))
def test_a_wrong_choice_is_told_the_others(name: str, option: click.Option, capfd: pytest.CaptureFixture[str]) -> None:
    message = refused(capfd, name, option.opts[0], "nonsense")
    assert option.opts[0] in message
    assert all(str(choice) in message for choice in option.type.choices)  # type: ignore[attr-defined]  # it is a choice


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("recipes ucf101-lora --results .", "both NAME (ucf101-lora) and --results were given; give one of them"),
        ("predict --checkpoint tiny --prompt ? --data x", "expected --prompt TEXT with images, or --data DATA: "),
        ("train x --data y", "both DATA (x) and --data were given; name every dataset by --data"),
        ("validate x --ratio a=1", "--out, --split-by and --ratio say what --fix writes; give --fix, too"),
        ("select x --out y --stratify", "--stratify says how a sample is drawn; give --sample, too"),
        ("convert --source image-folder --shard-size 1GB", "--shard-size needs --shards; "),
        ("order --steps 3:1", "--steps 3:1: expected A:B, "),
        ("train --data here:-1", "--data here:-1: a weight is above 0; leave out the dataset that is not to be shown"),
        ("train --data here:heavy", "--data here:heavy: 'heavy' is not a weight; expected a number such as 2"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    arguments: str, message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert refused(capfd, *arguments.split()).startswith(message)
