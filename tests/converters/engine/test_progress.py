from __future__ import annotations

import io
from typing import Any

import pytest

from phi3v_data.converters.engine.progress import PlainProgress, TerminalProgress, progress_for


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_lines_that_show_how_far_it_is() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, first=0.0, longest=0.0)
    with progress.track(total=10, settled=4, quarantined=1):
        progress.advance(quarantined=False)
        progress.advance(quarantined=True)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("6 of 10 items, ")
    assert lines[1].endswith(" left, 2 quarantined")


def test_the_rate_counts_this_run_only_and_gives_the_time_that_is_left() -> None:
    progress = PlainProgress(io.StringIO(), first=1e9)
    with progress.track(total=4000, settled=100, quarantined=0):
        for _ in range(100):
            progress.advance(quarantined=False)
    assert progress.line(seconds=10.0) == "200 of 4000 items, 10.0 a second, 0:06:20 left"
    assert progress.line(seconds=0.0) == "200 of 4000 items, 0.0 a second, ? left"


def test_a_short_run_writes_no_line_into_a_log() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    with progress.track(total=1, settled=0, quarantined=0):
        progress.advance(quarantined=False)
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = _Terminal()
    progress: Any = progress_for(stream)
    assert isinstance(progress, TerminalProgress)
    with progress.track(total=2, settled=0, quarantined=0):
        progress.log("going on")
        progress.advance(quarantined=False)
        progress.advance(quarantined=True)
    shown = stream.getvalue()
    assert "going on" in shown
    assert "2/2" in shown
    assert "1 quarantined" in shown


def test_anything_else_gets_lines() -> None:
    assert isinstance(progress_for(io.StringIO()), PlainProgress)
