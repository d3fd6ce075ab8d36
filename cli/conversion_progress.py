"""How far a conversion is, shown as everything else is."""

from __future__ import annotations

import click

from ..converters.engine.driver import Progress
from ..schema.progress import Progress as Shown

__all__ = ["ConversionProgress"]


class ConversionProgress(Progress):
    """What the engine tells of its run.

    Args:
        progress: shows it.
    """

    def __init__(self, progress: Shown) -> None:
        self._progress = progress

    def log(self, text: str) -> None:
        """Show one line."""
        click.echo(text, err=True)

    def show(self, what: str, unit: str, done: int, total: int) -> None:
        """Show how far discovery and writing are."""
        self._progress(what, unit, done, total)

    def advance(self, settled: int, total: int, quarantined: int) -> None:
        """Show how far the items are."""
        unit = f"items, {quarantined:,} quarantined" if quarantined else "items"
        self._progress("Converting", unit, settled, total)
