"""`phi3v-data sources` and `phi3v-data sources new`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .json_result import json_option, print_json
from .local_path import LocalPath

if TYPE_CHECKING:
    from ..converters.registry import ListedSource


@click.group("sources", invoke_without_command=True, short_help="List the sources and their options, or start one.")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the sources and their options, or start one.

    They are what `convert --source` takes. A source of your own is a class in a file (`--source path/to/file.py:Class`;
    `sources new` writes one to start from), or an entry point in the group phi3v_data.converters of an installed
    package. A package that cannot be loaded is listed with the reason, and leaves the others alone.
    """
    if ctx.invoked_subcommand is not None:
        return
    from ..converters.registry import listed_sources

    listed = listed_sources()
    if as_json:
        print_json({"sources": [_described(source) for source in listed]})
        return
    formatter = ctx.make_formatter()
    for source in listed:
        _write(source, formatter)
        formatter.write_paragraph()
    click.echo(formatter.getvalue().rstrip())


@command.command("new", short_help="Write a source of your own to start from.")
@click.argument("name")
@click.option("--out", metavar="DIR", type=LocalPath(), default=".", show_default=True, help="Folder for its files.")
@json_option
def new(name: str, out: Path, as_json: bool) -> None:
    """Write a source of your own to start from: a converter, its test and its card.

    NAME is a Python name such as my_source. All three work as they are: change them into what your data needs.
    """
    from ..converters.template import write_template
    from ..storage import LocalFolder, check_writable

    check_writable(LocalFolder(out))

    path, class_name = write_template(name, str(out))
    test = path.with_name(f"test_{path.name}")
    if as_json:
        print_json({"source": f"{path}:{class_name}", "file": path, "test": test, "card": path.with_suffix(".md")})
        return
    click.echo(f"{path}: a source to start from; beside it, its test and its card")
    click.echo(f"try it: phi3v-data convert --source {path}:{class_name} --input IMAGES")
    click.echo(f"test it: pytest {test}")


def _write(source: ListedSource, formatter: click.HelpFormatter) -> None:
    origin = f" (of the package {source.package})" if source.package else ""
    if source.converter is None:
        formatter.write(f"{source.name}{origin}  cannot be used: {source.failure}\n")
        return
    formatter.write(f"{source.name}{origin}  {source.summary}\n")
    rows = [(option["flag"], option["help"]) for option in _options(source.converter)]
    if rows:
        with formatter.indentation():
            formatter.write_dl(rows)


def _described(source: ListedSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "package": source.package,
        "summary": source.summary,
        "failure": source.failure,
        "options": _options(source.converter) if source.converter else [],
    }


def _options(converter: type[Any]) -> list[dict[str, Any]]:
    from .source_options import source_options

    found = []
    for option in source_options(converter, set()):
        flag, text = option.flag.get_help_record(click.Context(command)) or ("", "")
        found.append({"name": option.flag.name, "flag": flag, "default": option.default, "help": text})
    return found
