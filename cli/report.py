"""`phi3v-data report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .json_result import json_option, print_json
from .progress import quiet_option, show_progress

if TYPE_CHECKING:
    from ..data_cards.report.dataset_report import ReportSummary
    from ..data_cards.report.run_report import RunSummary


@click.command("report", short_help="Write pages about a dataset or runs, to look at without a network.")
@click.argument("addresses", metavar="DATA|RUN...", nargs=-1)
@click.option("--out", metavar="DIR", default="report", show_default=True, help="Folder that the pages are written to.")
@click.option(
    "--model",
    help="Model whose tokenizer and crops are used: a folder or a hub id.  "
    "[default: microsoft/Phi-3.5-vision-instruct, if it is here]",
)
@click.option(
    "--num-crops", type=click.IntRange(1), help="Largest number of crops of an image.  [default: the model's]"
)
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
    help="Number of images, about, that are kept as the model's own pixels; others are scaled by the browser.",
)
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: one a core]")
@quiet_option
@json_option
def command(
    addresses: tuple[str, ...],
    out: str,
    model: str | None,
    num_crops: int | None,
    images: str,
    model_pixels: int,
    workers: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write pages about a dataset or runs, to look at without a network.

    DATA is a dataset folder, one split's JSONL or a pattern of shards; left out, the one dataset under data/. The page
    shows each record as the model sees it, distributions by split, what `validate` finds, near-duplicates across splits
    and quarantined items. Of one RUN or several: curves, settings, and predictions beside their images.
    """
    from ..data_cards.counting import find_counting
    from ..data_cards.report.dataset_report import ReportOptions, report_dataset
    from ..data_cards.report.run_report import report_runs
    from ..data_cards.run_files import is_run
    from ..schema.dataset import the_dataset
    from ..storage import check_writable, open_folder

    check_writable(open_folder(out))
    copy_images = {"auto": None, "link": False, "copy": True}[images]
    runs = [address for address in addresses if is_run(address)]
    if runs:
        if len(runs) < len(addresses):
            other = next(address for address in addresses if address not in runs)
            raise click.UsageError(f"{other}: not a run's folder; a report is of runs, or of one dataset")
        with show_progress(quiet) as progress:
            written = report_runs(runs, out, copy_images, progress)
        _print(written, as_json)
        return
    if len(addresses) > 1:
        raise click.UsageError(f"{len(addresses)} datasets were given; a report is of one dataset, or of runs")
    dataset = the_dataset(addresses[0] if addresses else None)
    counting, name = find_counting(model, num_crops)
    options = ReportOptions(
        num_crops=counting.num_crops if counting else num_crops or 4,
        counting=counting,
        tokenizer=name,
        copy_images=copy_images,
        model_pixels=model_pixels,
        workers=workers or os.cpu_count() or 1,
    )
    if counting is not None:
        options = options._replace(geometry=counting.geometry)
    with show_progress(quiet) as progress:
        of_dataset = report_dataset(dataset, out, options, progress)
    _print(of_dataset, as_json)


def _print(written: ReportSummary | RunSummary, as_json: bool) -> None:
    import msgspec

    counts = {name: value for name, value in msgspec.structs.asdict(written).items() if name != "page"}
    if as_json:
        print_json(written)
        return
    for name, value in counts.items():
        click.echo(f"{name.replace('_', ' ')}: {value:,}")
    click.echo(f"open {Path(written.page).resolve().as_uri()}")
