"""`phi3v-data report`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ..schema.wording import counted

__all__ = ["command"]


@click.command("report", short_help="Write pages about a dataset or runs, to look at without a network.")
@click.argument("addresses", metavar="DATA|RUN...", nargs=-1)
@click.option("--out", metavar="DIR", default="report", show_default=True, help="Where the pages go.")
@click.option(
    "--model",
    help="Whose tokenizer and crops are used: a model folder, a hub id, or 'tiny'.  "
    "[default: microsoft/Phi-3.5-vision-instruct, if it is here]",
)
@click.option("--num-crops", type=click.IntRange(1), help="Most crops an image.  [default: the model's]")
@click.option(
    "--images",
    type=click.Choice(["auto", "link", "copy"]),
    default="auto",
    show_default=True,
    help="Refer to the dataset's images, or copy them into the report; auto copies what a page cannot reach.",
)
@click.option(
    "--model-pixels",
    type=click.IntRange(0),
    default=120,
    show_default=True,
    help="About how many images are kept as the model's own pixels; others are scaled by the browser.",
)
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: one a core]")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(
    addresses: tuple[str, ...],
    out: str,
    model: str | None,
    num_crops: int | None,
    images: str,
    model_pixels: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Write pages about a dataset or runs, to look at without a network.

    DATA is a dataset folder, one split's JSONL or a pattern of shards; left out, the one dataset under data/. The page
    shows each record as the model sees it, distributions by split, what `validate` finds, near-duplicates across splits
    and quarantined items.
    """
    import msgspec

    from ..data_cards.counting import find_counting
    from ..data_cards.report.dataset_report import ReportOptions, report_dataset
    from ..schema.dataset import the_dataset

    if len(addresses) > 1:
        raise click.UsageError(f"{len(addresses)} datasets were given; a report is of one")
    dataset = the_dataset(addresses[0] if addresses else None)
    counting, name = find_counting(model, num_crops)
    options = ReportOptions(
        num_crops=counting.num_crops if counting else num_crops or 4,
        counting=counting,
        tokenizer=name,
        copy_images={"auto": None, "link": False, "copy": True}[images],
        model_pixels=model_pixels,
        workers=workers or os.cpu_count() or 1,
    )
    if counting is not None:
        options = options._replace(geometry=counting.geometry)
    written = report_dataset(dataset, out, options, _progress)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(written), indent=2))
        return
    parts = [counted(written.records, "record"), counted(written.images, "image"), counted(written.findings, "finding")]
    click.echo(f"{', '.join(parts)}; open {Path(written.page).resolve().as_uri()}")


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {total:,} records looked at", err=True, nl=done == total)
