from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phi3v_data.cli import main as cli_main
from phi3v_data.cli.main import COMMANDS, _group

HEAVY = ("torch", "cv2", "datasets", "av", "ray", "pyarrow", "numpy", "transformers")


def phi3v_data(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "phi3v_data.cli", *arguments]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=240)


def test_importing_the_package_and_asking_for_help_load_nothing_heavy() -> None:
    program = (
        "import sys, phi3v_data; sys.argv = ['phi3v-data', '--help']\n"
        "from phi3v_data.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_summary_shown_is_its_own(name: str) -> None:
    context = _group.make_context("phi3v-data", [name, "--help"], resilient_parsing=True)
    command = _group.get_command(context, name)
    assert command is not None
    assert command.short_help == COMMANDS[name]
    assert command.help
    assert command.help.startswith(COMMANDS[name][:-1])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    import click

    context = _group.make_context("phi3v-data", [name, "--help"], resilient_parsing=True)
    command = _group.get_command(context, name)
    assert command is not None
    helps = [(p.name, p.help or "") for p in command.params if isinstance(p, click.Option) and p.name != "help"]
    assert [name for name, text in helps if not text] == []
    # A phrase that stands alone: it names the thing, and does not lean on the option's name.
    leaning = ("Of", "Whose", "Which", "Where", "Not", "Only", "Most", "At", "All", "There")
    assert [name for name, text in helps if text.split()[0] in leaning or not text[0].isupper()] == []
    assert [name for name, text in helps if not text.partition("  [")[0].endswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validat"], "phi3v-data: no command validat; did you mean validate?"),
        (["validate"], "phi3v-data: no dataset under data/; name one, or make one with: "),
        (["validate", "nowhere"], "phi3v-data: nowhere: no such dataset folder; make one with: "),
        (["validate", "--level", "deep"], "phi3v-data: --level deep: expected records, files or pixels\n"),
        (
            ["validate", "--level", "file"],
            "phi3v-data: --level file: expected records, files or pixels; did you mean f",
        ),
        (["train", "--set", "strategy=loro"], "phi3v-data: strategy=loro: expected full, frozen-vision, lora or qlora"),
        (["train", "--lr", "x"], "phi3v-data: --lr x: expected a number\n"),
        (["train", "--lr"], "phi3v-data: --lr needs a value: --lr VALUE\n"),
        (["train", "--dry-run=1"], "phi3v-data: --dry-run takes no value; give it alone\n"),
        (["export-data", "x", "--out", "y"], "phi3v-data: --format is missing: expected llava, sharegpt, openai or "),
        (["export-data", "x", "--format", "trl"], "phi3v-data: --out is missing; phi3v-data export-data --help says "),
        (["completion"], "phi3v-data: SHELL is missing: expected bash, zsh or fish\n"),
        (["completion", "bsh"], "phi3v-data: SHELL bsh: expected bash, zsh or fish; did you mean bash?\n"),
        (["train", "a", "b c"], "phi3v-data: unexpected argument b c: train takes DATA; put a value with spaces in "),
        (["sources", "nw"], "phi3v-data: no command nw; did you mean new?\n"),
        (
            ["evaluate", "--checkpoint", "tiny", "--compare", "s3://a/b"],
            "phi3v-data: --compare s3://a/b: on an object ",
        ),
        (
            ["convert", "--source", "table", "--shard-size", "big"],
            "phi3v-data: --shard-size big: expected a number of ",
        ),
        (["train", "nowhere.jsonl"], "phi3v-data: nowhere.jsonl: no such file"),
        (["train", "--set", "lr"], "phi3v-data: --set lr: expected KEY=VALUE"),
        (["train", "--set", "optimizer.rate=1"], "phi3v-data: no setting 'optimizer.rate'; "),
        (["train", "--batch-size", "0"], "phi3v-data: --batch-size 0: at least 1"),
        (
            ["convert", "--source", "ucf101", "--folds", "2"],
            "phi3v-data: no option --folds; did you mean --fold?",
        ),
        (["convert", "--source", "ucf102"], "phi3v-data: no source 'ucf102'; did you mean 'ucf101'?"),
        (["convert", "--source", "ucf101", "--frames", "0"], "phi3v-data: "),
        (["convert", "--source", "ucf101", "--input", "nowhere"], "phi3v-data: nowhere: "),
    ],
)
def test_bad_usage_is_answered_with_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = phi3v_data(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_is_shown_only_when_asked_for(tmp_path: Path) -> None:
    done = phi3v_data("validate", "nowhere", cwd=tmp_path, PHI3V_DEBUG="1")
    assert "Traceback" in done.stderr
    assert "DatasetError: nowhere: no such dataset folder" in done.stderr


def test_what_nobody_foresaw_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise ValueError("the first line\nand more")

    monkeypatch.setattr(cli_main, "run_command", fail)
    with pytest.raises(SystemExit) as end:
        cli_main.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "phi3v-data: unexpected ValueError: the first line; PHI3V_DEBUG=1 shows where it comes from\n"
    )


def test_a_missing_optional_package_is_one_line_with_what_brings_it() -> None:
    from phi3v_data.schema.dependencies import require
    from phi3v_data.schema.errors import MissingDependencyError

    with pytest.raises(
        MissingDependencyError, match=r"flying needs the package wings.*pip install 'phi3v-data\[air\]'"
    ):
        require("wings", purpose="flying", extra="air")


def test_the_reader_of_the_output_may_leave_early(tmp_path: Path) -> None:
    line = '{"id": "%d", "conversations": []}\n'
    (tmp_path / "x_train.jsonl").write_text("".join(line % n for n in range(3000)))
    program = f"{sys.executable} -m phi3v_data.cli validate . --format json | head -c 10"
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == '{"rule":"R'
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("has_group", [True, False])
def test_an_error_in_an_open_process_group_ends_without_the_exit_of_the_interpreter(has_group: bool) -> None:
    """Threads of the group may abort it, which would be another exit code."""
    script = (
        "import atexit, sys\n"
        "import torch.distributed as dist\n"
        "atexit.register(print, 'exit of the interpreter')\n"
        f"if {has_group}: dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)\n"
        "from phi3v_data.cli.main import main\n"
        "sys.argv = ['phi3v-data', 'validate', 'nowhere']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere: no such dataset folder" in done.stderr
    assert ("exit of the interpreter" in done.stdout) is not has_group
