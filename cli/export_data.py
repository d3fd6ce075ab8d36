"""`phi3v-data export-data`."""

from __future__ import annotations

import click

from ..schema.wording import counted
from .json_result import json_option, print_json
from .progress import quiet_option, show_progress


@click.command("export-data", short_help="Write a dataset as LLaVA, ShareGPT, OpenAI or TRL files.")
@click.argument("data", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["llava", "sharegpt", "openai", "trl"]),
    required=True,
    help="Format of the files.",
)
@click.option("--out", metavar="DIR", required=True, help="Empty or new folder for the files, local or s3://...")
@quiet_option
@json_option
def command(data: str | None, form: str, out: str, quiet: bool, as_json: bool) -> None:
    """Write a dataset as LLaVA, ShareGPT, OpenAI or TRL files: one a split, and the images beside them.

    DATA is a dataset folder or one split's JSONL; left out, the one dataset under data/. Images are copied, and rows
    name them relative to DIR. `convert --source chat --input DIR` gives the same records back.
    """
    from ..converters.chat.export import export_chat
    from ..schema.dataset import the_dataset
    from ..storage import check_writable, open_folder

    dataset, folder = the_dataset(data), open_folder(out)
    check_writable(folder)
    with show_progress(quiet) as progress:
        written = list(export_chat(dataset, form, folder, progress))
    if as_json:
        print_json({"out": out, "format": form, "splits": [split._asdict() for split in written]})
        return
    for split in written:
        counts = f"{counted(split.records, 'record')}, {counted(split.images, 'image')}"
        click.echo(f"{out}/{split.file}: {counts} copied")
