"""`phi3v-data export`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ..schema.wording import counted
from ..storage import LocalFolder, check_writable
from .json_result import json_option, print_json
from .local_path import LocalPath
from .settings import prepare_training_packages


@click.command("export", short_help="Write a model or a run as a folder that others can serve.")
@click.argument("checkpoint")
@click.option("--out", required=True, type=LocalPath(), help="New or empty folder to write.")
@click.option("--adapter-only", is_flag=True, help="Write the adapter as it is, not merged into its model.")
@click.option(
    "--dtype", type=click.Choice(["bf16", "fp16", "fp32"]), help="Dtype of the weights.  [default: the base model's]"
)
@click.option("--shard-size", default="5GB", show_default=True, metavar="SIZE", help="Largest file of weights.")
@click.option(
    "--auto-map",
    metavar="beside|OWNER/NAME",
    help="Name the published code: files you put beside the weights, or a hub repository.  [default: no code]",
)
@json_option
def command(
    checkpoint: str,
    out: Path,
    adapter_only: bool,
    dtype: str | None,
    shard_size: str,
    auto_map: str | None,
    as_json: bool,
) -> None:
    """Write a model or a run as a folder that others can serve: it loads wherever the original model loads.

    CHECKPOINT is a run's folder, a model or adapter folder, a hub id, or 'tiny'. An adapter is merged into its model in
    float32, then cast.
    """
    if auto_map is not None and auto_map != "beside" and auto_map.count("/") != 1:
        raise click.UsageError(f"--auto-map {auto_map}: expected beside, or a hub repository OWNER/NAME")
    if not _is_size(shard_size):
        raise click.UsageError(f"--shard-size {shard_size}: expected a number and KB, MB or GB, such as 5GB")
    check_writable(LocalFolder(out))
    prepare_training_packages()
    import torch

    from ..trainer.export import ExportOptions, export_model

    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    options = ExportOptions(adapter_only, dtypes[dtype] if dtype else None, shard_size, auto_map)
    export_model(checkpoint, out, options, partial(click.echo, err=as_json))
    sizes = {file.name: file.stat().st_size for file in sorted(out.iterdir())}
    if as_json:
        print_json({"out": out, "bytes": sum(sizes.values()), "files": sizes})
    else:
        click.echo(f"{out}: {sum(sizes.values()):,} bytes in {counted(len(sizes), 'file')}")


def _is_size(text: str) -> bool:
    number, unit = text[:-2], text[-2:]
    return unit in ("KB", "MB", "GB") and number.isascii() and number.isdigit() and int(number) > 0
