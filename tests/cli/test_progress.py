"""How far something is, on a terminal and in a log."""

from __future__ import annotations

import io

import click
import pytest

from phi3v_data.cli.progress import progress_bar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is: its last entry."""
    now = [0.0]
    monkeypatch.setattr("phi3v_data.cli.progress.time.monotonic", lambda: now[-1])
    return now


def test_a_log_gets_lines_with_the_rate_of_this_run_the_time_left_and_a_note(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("Converting", "items") as advance:
        advance(100, 4000)
        clock.append(10.0)
        advance(200, 4000, "2 quarantined")
        clock.append(11.0)
        advance(210, 4000, "2 quarantined")
    assert capsys.readouterr().err == "Converting: 200 of 4,000 items, 10.0/s, 6 min left, 2 quarantined\n"


def test_where_nothing_was_done_no_time_is_left_to_tell(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Converting", "items") as advance:
        clock.append(10.0)
        advance(100, 4000)
    assert capsys.readouterr().err == "Converting: 100 of 4,000 items, 0.0/s\n"


def test_what_ends_soon_writes_no_line_into_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Converting", "items") as advance:
        advance(1, 1)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_and_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_bar("Converting", "items") as advance:
        advance(0, 2)
        click.echo("resuming", err=True)
        advance(2, 2, "1 quarantined")
    shown = terminal.getvalue()
    assert "resuming" in shown
    assert "2/2" in shown
    assert "1 quarantined" in shown
