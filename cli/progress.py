"""How far something is: a bar with rate and time left on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TextIO

import click

from ..schema.progress import Progress, silent

_FIRST_LINE_AFTER = 10.0  # seconds
_LINE_EVERY = 30.0
_DRAWN_EVERY = 0.1
_BAR_WIDTH = 40  # columns

_MEGABYTE = 1e6

quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress.")


def show_progress(quiet: bool = False) -> AbstractContextManager[Progress]:
    """Show on standard error how far one thing after another is, for as long as the block lasts.

    Args:
        quiet: show nothing.
    """
    return progress_on(None if quiet else sys.stderr)


@contextmanager
def progress_on(stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Show progress on a stream, nothing on None; see `show_progress`.

    Args:
        stream: a terminal, or anything else.
        clock: gives the time in seconds.
    """
    if stream is None:
        yield silent
        return
    with ExitStack() as stack:
        yield _Phases(stream, stack, clock)


class _Phases:
    """Takes progress, one thing after another; a bar is taken away when the next thing begins."""

    def __init__(self, stream: TextIO, stack: ExitStack, clock: Callable[[], float]) -> None:
        self._stream, self._stack, self._clock = stream, stack, clock
        self._on_terminal = stream.isatty()
        self._what = ""
        self._next = 0.0

    def __call__(self, what: str, unit: str, done: int, total: int) -> None:
        now = self._clock()
        if what != self._what:
            self._begin(what, done, now)
        elif now < self._next and (done != total or not self._on_terminal):
            return
        rate = (done - self._before) / (now - self._begun) if now > self._begun else 0.0
        if self._on_terminal:
            self._draw(_how_far(unit, done, total, rate), done, total)
            self._next = now + _DRAWN_EVERY
        elif now >= self._next:
            click.echo(f"{what}: {_how_far(unit, done, total, rate)}", file=self._stream)
            self._next = now + _LINE_EVERY

    def _begin(self, what: str, done: int, now: float) -> None:
        self._stack.close()
        self._what, self._before, self._begun = what, done, now
        self._next = now + _FIRST_LINE_AFTER
        if self._on_terminal:
            self._draw = self._stack.enter_context(_bar(self._stream, what))


@contextmanager
def _bar(stream: TextIO, what: str) -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    # What is printed meanwhile stands above the bar; results that go into a file or a pipe do so still.
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        # On a narrow terminal the bar gives way, not the words.
        BarColumn(bar_width=None, table_column=Column(max_width=_BAR_WIDTH)),
        TextColumn("{task.fields[how_far]}", markup=False),
        console=Console(file=stream),
        transient=True,
        refresh_per_second=4,
        redirect_stdout=sys.stdout.isatty(),
    )
    with bars:
        task = bars.add_task(what, total=None, how_far="")
        yield lambda how_far, done, total: bars.update(task, completed=done, total=total or None, how_far=how_far)


def _how_far(unit: str, done: int, total: int, rate: float) -> str:
    """Describe how far it is: `1,200 of 5,000 images, 80.0/s, 48 s left`."""
    left = f", {_duration((total - done) / rate)} left" if total > done and rate > 0 else ""
    if unit == "bytes":
        of_all = f" of {total / _MEGABYTE:,.1f}" if total else ""
        speed = f", {rate / _MEGABYTE:,.1f} MB/s" if rate > 0 else ""
        return f"{done / _MEGABYTE:,.1f}{of_all} MB{speed}{left}"
    of_all = f" of {total:,}" if total else ""
    speed = f", {rate:,.1f}/s" if rate > 0 else ""
    return f"{done:,}{of_all} {unit}{speed}{left}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
