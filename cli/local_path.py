"""A path on this machine, as an option's value."""

from __future__ import annotations

from pathlib import Path

import click

from ..storage import is_remote


class LocalPath(click.ParamType[Path]):
    """Takes what lies, or will lie, on this machine; the address of an object store would become a folder here."""

    name = "path"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; see click."""
        if is_remote(value):
            self.fail(f"{value}: on an object store; expected a path on this machine", param, ctx)
        return Path(value)
