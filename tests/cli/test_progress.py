"""What people see while something runs: a bar on a terminal, lines elsewhere, nothing where that was asked for."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from colours import colour_records, write_dataset
from small_run import write_run
from tokenizer_folder import write_tokenizer_folder

from phi3v_data.cli.main import COMMANDS, answer, load_command
from phi3v_data.cli.progress import progress_on
from phi3v_data.schema.progress import followed


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(steps: list[tuple[float, int]], total: int = 10_000, unit: str = "images") -> list[str]:
    """Show progress where there is no terminal: at each time, in seconds, so many are done."""
    stream, clock = io.StringIO(), _Clock()
    with progress_on(stream, clock) as progress:
        for seconds, done in steps:
            clock.now = 100.0 + seconds
            progress("Reading", unit, done, total)
    return stream.getvalue().splitlines()


def test_elsewhere_a_line_comes_after_ten_seconds_and_every_thirty() -> None:
    steps = [(float(second), 100 * second) for second in range(71)]
    assert lines(steps) == [
        "Reading: 1,000 of 10,000 images, 100.0/s, 2 min left",
        "Reading: 4,000 of 10,000 images, 100.0/s, 1 min left",
        "Reading: 7,000 of 10,000 images, 100.0/s, 30 s left",
    ]


def test_what_ends_soon_shows_no_line() -> None:
    assert lines([(0.0, 0), (9.9, 10_000)]) == []


def test_hours_are_told_as_hours_and_minutes() -> None:
    assert lines([(0.0, 0), (10.0, 10)]) == ["Reading: 10 of 10,000 images, 1.0/s, 2 h 46 min left"]


def test_a_rate_counts_this_run_alone() -> None:
    assert lines([(0.0, 4000), (10.0, 5000)]) == ["Reading: 5,000 of 10,000 images, 100.0/s, 50 s left"]


def test_what_has_no_known_end_shows_a_rate_and_no_time_left() -> None:
    assert lines([(0.0, 0), (10.0, 5000)], total=0) == ["Reading: 5,000 images, 500.0/s"]


def test_bytes_are_shown_as_megabytes() -> None:
    steps = [(0.0, 0), (10.0, 500_000_000)]
    assert lines(steps, 2_000_000_000, "bytes") == ["Reading: 500.0 of 2,000.0 MB, 50.0 MB/s, 30 s left"]


def test_the_next_thing_begins_with_a_count_and_a_time_of_its_own() -> None:
    stream, clock = io.StringIO(), _Clock()
    with progress_on(stream, clock) as progress:
        for what in ("Reading", "Writing"):
            for done in (0, 50):
                progress(what, "records", done, 100)
                clock.now += 25
    assert stream.getvalue().splitlines() == [
        "Reading: 50 of 100 records, 2.0/s, 25 s left",
        "Writing: 50 of 100 records, 2.0/s, 25 s left",
    ]


def test_quarantined_items_are_counted_beside_the_others() -> None:
    stream, clock = io.StringIO(), _Clock()
    with progress_on(stream, clock) as progress:
        progress("Converting", "items, 1 quarantined", 4, 10)
        clock.now += 20
        progress("Converting", "items, 2 quarantined", 5, 10)
    assert stream.getvalue() == "Converting: 5 of 10 items, 2 quarantined, 0.1/s, 2 min left\n"


def test_a_terminal_gets_a_bar_that_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream, clock = _Terminal(), _Clock()
    with progress_on(stream, clock) as progress:
        for item in followed("abcd", progress, "Reading [1]", "images", 4):
            clock.now += ord(item) - 96
    shown = stream.getvalue()
    assert "Reading [1] " in shown
    assert "4 of 4 images, 0.4/s" in shown
    assert shown.endswith("\x1b[2K")


@pytest.mark.parametrize("to_file", [True, False])
def test_results_go_where_they_are_sent_while_a_bar_is_on(to_file: bool, tmp_path: Path) -> None:
    program = (
        "import click\nfrom phi3v_data.cli.progress import show_progress\n"
        "with show_progress() as progress:\n"
        "    progress('Reading', 'records', 0, 2)\n"
        "    click.echo('found')\n"
        "    progress('Reading', 'records', 2, 2)\n"
    )
    terminal, other_end = pty.openpty()
    with (tmp_path / "out").open("wb") as file:
        command = [sys.executable, "-c", program]
        subprocess.run(command, stdout=file if to_file else other_end, stderr=other_end, check=True)
    os.close(other_end)
    shown = _read(terminal)
    assert (tmp_path / "out").read_text() == ("found\n" if to_file else "")
    assert ("found" in shown) != to_file
    assert "2 of 2 records" in shown


def _read(terminal: int) -> str:
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:
        pass  # on Linux, the end of a terminal nobody writes to any more
    os.close(terminal)
    return b"".join(parts).decode()


# What each command that takes long is called with, and what its bars say; @ is where it writes to.
BARS = {
    "convert": (
        "convert --source image-folder --input data/images --out @ --shards --workers 1",
        ["Looking for samples", "Converting", "Writing records", "Writing shards of train"],
    ),
    "validate": ("validate data --ignore S", ["Reading", "Comparing"]),
    "select": ("select data --out @", ["Reading records", "Writing"]),
    "validate --fix": ("validate data --ignore S --fix --out @", ["Reading", "Writing"]),
    "export-data": ("export-data data --format trl --out @", ["Writing train", "Writing val"]),
    "order": ("order data --steps 0:3", ["Indexing train", "Ordering"]),
    "estimate": ("estimate data --model tiny", ["Indexing train", "Counting tokens of train"]),
    "card": ("card data --model tokenizer --out @", ["Indexing train", "Counting tokens of val"]),
    "report": ("report data --model tokenizer --out @ --workers 1", ["Looking at records"]),
    "report of a run": ("report run --out @", ["Writing questions"]),
    "evaluate": (
        "evaluate data --checkpoint tiny --precision fp32 --max-new-tokens 4 --out @.json",
        ["Counting tokens of val", "Evaluating val"],
    ),
    "train": (
        "train data --model tiny --precision fp32 --strategy full --out @ --set evaluation.max_new_tokens=4",
        ["Counting tokens of train", "Evaluating val", "Training"],
    ),
}


@pytest.mark.parametrize("name", BARS)
def test_what_takes_long_shows_how_far_it_is_unless_asked_not_to(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, bars = BARS[name]
    data = {split: colour_records(split, 3) for split in ("train", "val")}
    write_dataset(tmp_path / "data", data)
    write_tokenizer_folder(tmp_path / "tokenizer")
    write_run(tmp_path / "run", tmp_path / "data", 1e-3, ["cat"] * 5)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal, quiet = _Terminal(), _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert answer(line.replace("@", "out").split()) == 0, terminal.getvalue()
    assert [bar for bar in bars if f"{bar} " not in terminal.getvalue()] == []
    monkeypatch.setattr(sys, "stderr", quiet)
    assert answer([*line.replace("@", "again").split(), "--quiet"]) == 0
    assert not any(bar in quiet.getvalue() for bar in bars)


def test_every_command_that_shows_progress_is_walked_and_can_be_quiet() -> None:
    can_be_quiet = {name for name in COMMANDS for param in load_command(name).params if "--quiet" in param.opts}
    assert can_be_quiet == {line.split()[0] for line, _ in BARS.values()}
