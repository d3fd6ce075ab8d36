"""What people see while a conversion runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, TextIO

__all__ = ["PlainProgress", "Progress", "Silent", "TerminalProgress", "progress_for"]


class Progress(Protocol):
    """Shows how far a conversion is. A context manager around the work."""

    def log(self, text: str) -> None:
        """Show one line about the run as a whole."""

    def track(self, total: int, settled: int, quarantined: int) -> AbstractContextManager[None]:
        """Start: `total` items were asked for, of which `settled` are settled already, some of them quarantined."""

    def advance(self, *, quarantined: bool) -> None:
        """One more item is settled."""


class Silent:
    """Shows nothing."""

    def log(self, text: str) -> None:
        """Show nothing."""

    def track(self, total: int, settled: int, quarantined: int) -> Silent:
        """Start."""
        return self

    def advance(self, *, quarantined: bool) -> None:
        """Count nothing."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainProgress:
    """Lines for a log: the first after a few seconds, later ones ever more rarely, and one at the end.

    Args:
        stream: where to.
        first: seconds until the first line.
        longest: the longest time between two lines, in seconds.
    """

    def __init__(self, stream: TextIO, first: float = 5.0, longest: float = 60.0) -> None:
        self._stream = stream
        self._pause, self._longest = first, longest

    def log(self, text: str) -> None:
        """Write the line."""
        print(text, file=self._stream, flush=True)

    def track(self, total: int, settled: int, quarantined: int) -> PlainProgress:
        """Start to count."""
        self._total, self._settled, self._quarantined = total, settled, quarantined
        self._before = settled
        self._started = time.monotonic()
        self._next = self._started + self._pause
        return self

    def advance(self, *, quarantined: bool) -> None:
        """Count, and write a line if it is time."""
        self._settled += 1
        self._quarantined += quarantined
        now = time.monotonic()
        if now >= self._next:
            self._pause = min(2 * self._pause, self._longest)
            self._next = now + self._pause
            self.log(self.line(now - self._started))

    def line(self, seconds: float) -> str:
        """Describe how far it is after so many seconds of this run."""
        rate = (self._settled - self._before) / seconds if seconds > 0 else 0.0
        left = _clock((self._total - self._settled) / rate) if rate else "?"
        quarantined_note = f", {self._quarantined} quarantined" if self._quarantined else ""
        return f"{self._settled} of {self._total} items, {rate:.1f} a second, {left} left{quarantined_note}"

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


class TerminalProgress:
    """A bar with rate, time remaining and the number of items quarantined.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("converting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
            console=Console(file=stream),
            refresh_per_second=4,
        )

    def log(self, text: str) -> None:
        """Print the line above the bar."""
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def track(self, total: int, settled: int, quarantined: int) -> TerminalProgress:
        """Show the bar."""
        self._task = self._bars.add_task("", total=total, completed=settled, rate=0.0, failed="")
        self._quarantined, self._done, self._started = quarantined, 0, time.monotonic()
        return self

    def advance(self, *, quarantined: bool) -> None:
        """Move the bar on."""
        self._quarantined += quarantined
        self._done += 1
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        quarantined_note = f"{self._quarantined} quarantined" if self._quarantined else ""
        self._bars.update(self._task, advance=1, rate=rate, failed=quarantined_note)

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def progress_for(stream: TextIO | None = None) -> Progress:
    """Return the progress that suits a stream; by default standard error."""
    stream = stream or sys.stderr
    return TerminalProgress(stream) if stream.isatty() else PlainProgress(stream)
