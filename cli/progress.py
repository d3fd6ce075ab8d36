"""How far something is: a bar with rate and ETA on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import click

__all__ = ["Advance", "progress_bar", "progress_of_phases", "quiet_option"]


class Advance(Protocol):
    """Takes how many are done, and how many there are, 0 of them where that is not known; and what else to show.

    The first call says from where the rate counts: what a resumed run did before is none of its speed.
    """

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show it."""


_FIRST_LINE_AFTER = 10.0  # seconds
_LINE_EVERY = 30.0
_DRAWN_EVERY = 0.1

quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress.")


@contextmanager
def progress_bar(what: str, unit: str, quiet: bool = False) -> Iterator[Advance]:
    """Show on standard error how far something is, for as long as the block lasts.

    Args:
        what: is being done, such as `Reading headers`.
        unit: is counted, such as `images`.
        quiet: show nothing.
    """
    if quiet:
        yield lambda done, total, note="": None
    elif sys.stderr.isatty():
        with _bar(what, unit) as advance:
            yield advance
    else:
        yield _Lines(what, unit)


@contextmanager
def progress_of_phases(quiet: bool = False) -> Iterator[Callable[[str, str, int, int], None]]:
    """Show how far one thing after another is; see `progress_bar`.

    Yields:
        What takes what is done, the unit, how many are done, and how many there are; called for each of them.
    """
    with ExitStack() as stack:
        yield _Phases(stack, quiet)


class _Phases:
    def __init__(self, stack: ExitStack, quiet: bool) -> None:
        self._stack, self._quiet = stack, quiet
        self._what = ""
        self._advance: Advance = lambda done, total, note="": None
        self._next = 0.0

    def __call__(self, what: str, unit: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._quiet or (what == self._what and now < self._next and done != total):
            return
        if what != self._what:
            self._stack.close()
            self._what = what
            self._advance = self._stack.enter_context(progress_bar(what, unit))
        self._next = now + _DRAWN_EVERY
        self._advance(done, total)


@contextmanager
def _bar(what: str, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}, {task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    # Nothing is drawn before the first call: what ends at once leaves no trace.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, visible=False, unit=unit, rate="", note="")
        first: list[int] = []

        def advance(done: int, total: int, note: str = "") -> None:
            first[:] = first or [done]
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{(done - first[0]) / elapsed:,.1f}/s" if elapsed else ""
            bar.update(task, completed=done, total=total or None, visible=True, rate=rate, note=note)

        yield advance


class _Lines:
    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._begun = time.monotonic()
        self._next = self._begun + _FIRST_LINE_AFTER
        self._first: int | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self._first = done if self._first is None else self._first
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LINE_EVERY
        of_all = f" of {total:,}" if total else ""
        rate = (done - self._first) / (now - self._begun)
        left = f", {_duration((total - done) / rate)} left" if total and rate else ""
        more = f", {note}" if note else ""
        click.echo(f"{self._what}: {done:,}{of_all} {self._unit}, {rate:,.1f}/s{left}{more}", err=True)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{round(seconds)} s"
