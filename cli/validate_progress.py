"""How far a validation is: a bar with the time remaining on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ..schema.rules.validate import Progress

__all__ = ["progress_for"]

_FIRST, _LONGEST = 5.0, 60.0


@contextmanager
def progress_for(stream: TextIO | None) -> Iterator[Progress]:
    """Give what shows progress on a stream; on None nothing is shown."""
    if stream is None:
        yield lambda what, done, total: None
    elif stream.isatty():
        with _bar(stream) as progress:
            yield progress
    else:
        yield _Lines(stream)


@contextmanager
def _bar(stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(file=stream), transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("reading")
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total or None)


class _Lines:
    """The first line after a few seconds, later ones ever more rarely."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._pause = _FIRST
        self._next = self._began + _FIRST

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._pause = min(2 * self._pause, _LONGEST)
        self._next = now + self._pause
        left = (now - self._began) * (total - done) / done if done and total else 0.0
        share = f" {done / total:.0%}, {left:.0f} s left" if total else ""
        print(f"{what}{share}", file=self._stream, flush=True)
