"""Every command block of README and docs is run: page by page, in order, in one folder a page, in this process.

A command is run as it stands, but for what no test machine has: `GIVEN` names the options that stand in for it, and
`ELSEWHERE` the few commands that are not run here, each with its reason; these are parsed.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from pages import blocks
from workplace import provide

from phi3v_data.cli.main import answer, load_command

ROOT = Path(__file__).resolve().parents[2]
# Their commands have tests of their own, which also compare what is printed and written with what is shown.
OF_OTHER_TESTS = ("docs/converters.md", "docs/training-data.md", "docs/sources/")
PAGES = [
    name
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    if not (name := path.relative_to(ROOT).as_posix()).startswith(OF_OTHER_TESTS)
    and any(block.info in ("console", "bash") for block in blocks(path))
]


class Given(NamedTuple):
    """Options that a command gets besides; the first that fits a command holds, a run that is there already aside."""

    command: str
    options: str
    reason: str
    makes: str = ""


GIVEN = [
    Given(r"convert --source ucf101 (?!.*--input)", "--input clips.tar.gz", "the public copy is on the hub"),
    Given(
        r"train data/ucf101 --strategy lora",
        "--model tiny --precision fp32 --batch-size 3 --accumulate 1 --set evaluation.max_new_tokens=4",
        "Phi-3.5-vision and a GPU are not here: the tiny model is trained instead",
        makes="runs/ucf101-lora",
    ),
    Given(r"train(?!.*--show-config)", "--model tiny --dry-run", "minutes on a GPU; runs are trained elsewhere"),
    Given(r"estimate", "--model tiny", "Phi-3.5-vision is not here"),
    Given(r"evaluate|predict", "--precision fp32 --max-new-tokens 4", "a CPU"),
    Given(r"push", "--dry-run", "the hub; tests/data_cards/test_push.py uploads to one on loopback"),
]


class Elsewhere(NamedTuple):
    """Commands that are parsed, and not run here."""

    command: str
    reason: str


ELSEWHERE = [
    Elsewhere(r"git clone <this repository>", "this is the clone"),
    Elsewhere(r"make demo", "tests/integration/test_demo.py runs it"),
    Elsewhere(r"pip install ", "changes the machine"),
    Elsewhere(
        r"(python -m phi3v_data\.trainer\.)?torchrun ",
        "eight GPUs; tests/trainer/test_multi_process.py runs torchrun on the CPU",
    ),
    Elsewhere(r".*\bs3://", "an object store; tests/converters/engine and tests/trainer run on one"),
    Elsewhere(r"(PYTHONPATH=PEERS )?python benchmarks/", "minutes each"),
]


def commands_of(page: Path) -> list[str]:
    """Every command of a page: lines with a dollar, and what a shell is to evaluate."""
    found: list[str] = []
    for block in blocks(page):
        if block.info == "console":
            found += re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
        elif block.info == "bash":
            found += re.findall(r"\$\((phi3v-data [^)]*)\)", block.text)
    return found


def run(command: str, givens: Path) -> None:
    """Run a command in the working folder, or parse it where it is run elsewhere."""
    if any(re.match(each.command, command) for each in ELSEWHERE):
        parse(command)
        return
    words = shlex.split(command, comments=True)
    assert words[0] == "phi3v-data", f"{command}: neither a command of ours nor one that is run elsewhere"
    line = shlex.join(words[1:])
    fitting = (
        each for each in GIVEN if re.match(each.command, line) and not (each.makes and Path(each.makes).exists())
    )
    added = next(fitting, None)
    words = [*words[1:], *(added.options.split() if added else ())]
    provide(words, givens, Path.cwd())
    assert answer(words) == 0, command


def parse(command: str) -> None:
    """Hold a command that is run elsewhere to what there is."""
    words = shlex.split(command, comments=True)
    if "phi3v_data.cli" in words:
        words = ["phi3v-data", *words[words.index("phi3v_data.cli") + 1 :]]
    if words[0] == "phi3v-data":
        load_command(words[1]).make_context(words[1], words[2:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for script in (word for word in words if word.endswith(".py")):
        source = (ROOT / script).read_text()
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in source] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_run(name: str, givens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands_of(ROOT / name):
        run(command, givens)


@pytest.mark.parametrize(
    "wrong",
    [
        "phi3v-data validate elsewhere/none-such",
        "phi3v-data report data/docvqa --colour red",
        "phi3v-data paint data/docvqa",
        "phi3v-data train data/docvqa --recipe none-such",
        "phi3v-data evaluate data/docvqa --checkpoint runs/a --split none-such",
        "rm data/docvqa",
        "torchrun -m phi3v_data.cli train --colour red",
        "make coffee",
        "python benchmarks/report.py --colour red",
    ],
)
def test_a_wrong_command_on_a_page_is_found(
    wrong: str, givens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ {wrong}\n```\n")
    (command,) = commands_of(page)
    with pytest.raises((AssertionError, click.UsageError)):
        run(command, givens)


def test_whatever_is_not_run_is_on_some_page() -> None:
    shown = [command for name in PAGES for command in commands_of(ROOT / name)]
    ours = [
        shlex.join(shlex.split(command, comments=True)[1:]) for command in shown if command.startswith("phi3v-data")
    ]
    assert [each for each in ELSEWHERE if not any(re.match(each.command, command) for command in shown)] == []
    assert [each for each in GIVEN if not any(re.match(each.command, line) for line in ours)] == []


def test_no_command_stands_outside_a_console_block() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for block in blocks(path):
            if block.info != "console" and path.name != "cli.md":
                assert not re.search(r"^\$ |^phi3v-data [a-z]", block.text, re.MULTILINE), (path.name, block.text)
