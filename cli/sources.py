"""`phi3v-data sources`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

__all__ = ["command"]


@click.command("sources", short_help="List the sources and their options.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to list them."
)
def command(form: str) -> None:
    """List the sources and their options, as `convert --source` takes them.

    A source of your own is a class in a file (`--source path/to/file.py:Class`), or an entry point in the group
    phi3v_data.converters of an installed package.
    """
    from ..converters.registry import source_names

    described = [_described(name) for name in source_names()]
    if form == "json":
        click.echo(json.dumps(described, indent=2))
        return
    for source in described:
        click.echo(f"{source['name']}  {source['summary']}")
        rows = [(f"  {option['flag']}", option["help"]) for option in source["options"]]
        width = max((len(left) for left, _ in rows), default=0)
        for left, text in rows:
            click.echo(f"{left:<{width}}  {text}".rstrip())


def _described(name: str) -> dict[str, Any]:
    from ..converters.registry import load_source
    from .source_options import source_options

    cls = load_source(name)
    context = click.Context(command)
    options = []
    for option in source_options(cls, set()):
        flag, text = option.flag.get_help_record(context) or ("", "")
        options.append({"name": option.flag.name, "flag": flag, "default": option.default, "help": text})
    return {"name": name, "summary": (inspect.getdoc(cls) or "").partition("\n")[0], "options": options}
