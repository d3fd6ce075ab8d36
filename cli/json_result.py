"""`--json`: the result of a command as one object on standard output, and everything else on standard error."""

from __future__ import annotations

import os
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


def print_json(result: object) -> None:
    """Print a result, indented; paths become text, and what is not a number becomes null."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(result, enc_hook=_plain), indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
