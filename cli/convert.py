"""`phi3v-data convert`."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import click

from ..converters.images import ImageFormat, ImageSettings
from ..schema.wording import counted
from ..storage import open_folder
from .engine_option import engine_option
from .json_result import json_option, print_json
from .progress import quiet_option, show_progress
from .settings import parse_settings
from .source_command import SourceCommand, effective_yaml, given_for_source

if TYPE_CHECKING:
    from ..converters.engine.run import Summary
    from ..schema.rules.validate import Summary as Findings

DEFAULT_SHARD_SIZE = 256_000_000


def _split_list(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def _size(ctx: click.Context, option: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d+)\s*([kKMGT]?)[bB]?", value)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"{value}: expected a number of bytes such as 500000, 100MB or 1GB")
    factor: int = 1000 ** " KMGT".index(match[2].upper() or " ")
    return int(match[1]) * factor


@click.command("convert", cls=SourceCommand, short_help="Turn a source into a dataset folder.")
@click.option("--source", required=True, help="Name of a source (see `phi3v-data sources`), or path/to/file.py:Class.")
@click.option(
    "--input",
    "given_input",
    metavar="PATH",
    help="Raw data: a folder or an archive, local or s3://...  [default: the public copy]",
)
@click.option("--no-follow-links", is_flag=True, help="Refuse an input folder with links that lead out of it.")
@click.option("--out", metavar="DIR", help="Dataset folder to write, local or s3://...  [default: data/<source>]")
@click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality, 1-100.  [default: 75]")
@click.option(
    "--image-format",
    type=click.Choice(get_args(ImageFormat)),
    help="Format of stored images; keep leaves plain JPEG and PNG files as they are.  [default: keep]",
)
@click.option("--max-pixels", type=click.IntRange(1), help="Scale images down to at most this many pixels.")
@click.option(
    "--max-side", type=click.IntRange(1), help="Scale images down to at most this many pixels on the longer side."
)
@click.option(
    "--fit-crops",
    type=click.IntRange(1),
    help="Scale images down to what the model sees of them at this number of crops.",
)
@click.option(
    "--escape-tokens",
    is_flag=True,
    help="Write special tokens in texts, such as </s>, as plain text; without it they quarantine their item.",
)
@click.option(
    "--splits", metavar="A,B", callback=_split_list, help="Splits to convert; the others are counted as skipped."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Number of items to convert in each split; the others are counted as skipped.",
)
@click.option("--shards", is_flag=True, help="Write WebDataset shards as well.")
@click.option(
    "--shard-size",
    metavar="SIZE",
    callback=_size,
    help="Largest size of a shard, such as 100MB or 1GB.  [default: 256MB]",
)
@click.option("--no-images", is_flag=True, help="Keep images only in the shards (needs --shards).")
@engine_option
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes.  [default: one per core]")
@click.option(
    "--on-error",
    type=click.Choice(["quarantine", "fail"]),
    default="quarantine",
    show_default=True,
    help="When an item fails: write it to quarantine.jsonl, or stop the run.",
)
@click.option(
    "--item-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Seconds an item may take before its worker is ended and it is quarantined.  [default: 600]",
)
@click.option("--restart", is_flag=True, help="Throw away the dataset or unfinished run in --out and start over.")
@click.option("--retry-quarantined", is_flag=True, help="Convert again what an earlier run quarantined.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the source, by name.")
@click.option("--config", metavar="FILE", help="YAML file of options; those of the command line override it.")
@quiet_option
@json_option
@click.option("--show-config", is_flag=True, help="Print all options as a file for --config and exit.")
@click.pass_context
def command(ctx: click.Context, /, source: str, settings: tuple[str, ...], **given: Any) -> None:
    """Turn a source into a dataset folder: images, a JSONL a split, and dataset.json.

    Rerun the same command to resume a run that was stopped, whatever stopped it. Each source has options of its own:
    convert --source NAME --help.
    """
    from ..converters.engine.plan import Selection
    from ..converters.engine.run import ITEM_TIMEOUT, ConvertRequest, convert
    from ..converters.registry import ConverterSpec, load_source
    from ..schema.dataset import open_dataset
    from ..schema.rules.gate import look_at_conversion

    cls = load_source(source)
    options = given_for_source(ctx, cls, given, parse_settings(settings))
    if given["show_config"]:
        click.echo(effective_yaml(ctx, ConverterSpec(source=source, input=".", options=options).build()), nl=False)
        return
    request = ConvertRequest(
        source=source,
        out=given["out"] or f"data/{cls.name}",
        input=given["given_input"],
        options=options,
        images=_image_settings(given),
        escape_tokens=given["escape_tokens"],
        shard_size=_shard_size(given),
        image_files=not given["no_images"],
        selection=Selection(given["splits"], given["limit"]),
        engine=given["engine"],
        workers=given["workers"],
        item_timeout=given["item_timeout"] or ITEM_TIMEOUT,
        follow_links=not given["no_follow_links"],
        on_error=given["on_error"],
        restart=given["restart"],
        retry_quarantined=given["retry_quarantined"],
    )
    with show_progress(given["quiet"]) as progress:
        summary = convert(request) if given["quiet"] else convert(request, progress, partial(click.echo, err=True))
    found = None if summary.already_complete else look_at_conversion(open_dataset(summary.out))
    if given["as_json"]:
        print_json(_result(summary, found))
    else:
        _report(summary, found)
    # A run that was killed behind the end of the dataset has not come to its card.
    if not summary.already_complete or not open_folder(summary.out).exists("README.md"):
        from .card import write_card_of

        write_card_of(summary.out)


def _image_settings(given: dict[str, Any]) -> ImageSettings:
    chosen = {name: given[name] for name in ImageSettings.__struct_fields__ if given[name] is not None}
    return ImageSettings(**chosen)


def _shard_size(given: dict[str, Any]) -> int | None:
    if given["shards"]:
        return given["shard_size"] or DEFAULT_SHARD_SIZE
    if given["shard_size"] is not None:
        raise click.UsageError("--shard-size needs --shards; add it, or leave --shard-size out")
    return None


def _result(summary: Summary, found: Findings | None) -> dict[str, Any]:
    columns = ("split", "records", "images", "discovered", "written", "quarantined", "skipped")
    return {
        "out": summary.out,
        "already_complete": summary.already_complete,
        "splits": [{column: getattr(row, column) for column in columns} for row in summary.manifest.splits],
        "validated": None if found is None else {"errors": found.errors, "warnings": found.warnings},
        "notes": summary.empty_splits,
    }


def _report(summary: Summary, found: Findings | None) -> None:
    columns = ("discovered", "written", "quarantined", "skipped", "images")
    width = max(len("split"), *(len(row.split) for row in summary.manifest.splits))
    click.echo("  ".join([f"{'split':<{width}}", *columns]))
    for row in summary.manifest.splits:
        counts = [f"{getattr(row, column):>{len(column)}}" for column in columns]
        click.echo("  ".join([f"{row.split:<{width}}", *counts]))
    if found is None:
        click.echo(f"{summary.out}: already complete, nothing to do")
    else:
        from ..schema.rules.gate import summary_in_words

        click.echo(f"{summary.out}: written")
        click.echo(f"validated: {summary_in_words(found, summary.out)}")
    quarantined = sum(row.quarantined for row in summary.manifest.splits)
    if quarantined:
        click.echo(f"{counted(quarantined, 'item')} could not be converted; {summary.out}/quarantine.jsonl says why")
    for note in summary.empty_splits:
        click.echo(note)
