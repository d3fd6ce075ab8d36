"""`phi3v-data select`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..schema.wording import counted
from .card import write_card_of
from .json_result import json_option, print_json
from .progress import quiet_option, show_progress
from .split_ratio import ratio_option, shares_of

if TYPE_CHECKING:
    from ..schema.select.selection import Selected


@click.command("select", short_help="Make a dataset from datasets: keep, drop, sample, split again, join.")
@click.argument("data", nargs=-1, required=True)
@click.option("--out", metavar="DIR", required=True, help="Empty or new folder to write, local or s3://...")
@click.option(
    "--keep",
    multiple=True,
    metavar="WHAT",
    help="Keep only these records: split=NAME, label=NAME, source=NAME, dataset=NAME, ids=FILE (an id a line), a rule.",
)
@click.option(
    "--drop", multiple=True, metavar="WHAT", help="Leave these records out, such as P301, split=test or label=cat."
)
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Keep only records for which this holds: 'len(answer) < 20'."
)
@click.option("--sample", metavar="N|P%", help="Draw so many of the records that are kept.")
@click.option("--stratify", is_flag=True, help="Draw from each label in proportion to its records.")
@click.option("--split-by", type=click.Choice(["group", "ratio", "label"]), help="Divide records into splits again.")
@ratio_option
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sample and of the splits.")
@click.option(
    "--images",
    type=click.Choice(["link", "copy"]),
    default="copy",
    show_default=True,
    help="Copy images, or give the files a second name (hard links).",
)
@quiet_option
@json_option
def command(data: tuple[str, ...], out: str, quiet: bool, as_json: bool, ratio: str | None, **options: Any) -> None:
    """Make a dataset from datasets: keep, drop, sample, split again, join.

    DATA is a dataset folder, one split's JSONL or a pattern of shards. Of several, ids and image paths begin with the
    dataset's name. A record is kept where it passes every kind of --keep and every --where, and no --drop; what is left
    out is listed in left_out.jsonl with the reason. Shards in, shards out.

    \b
    phi3v-data select data/docvqa --out data/short --where 'len(answer) < 20' --drop P301
    phi3v-data select data/a data/b --out data/both --sample 10% --stratify --images link
    phi3v-data select data/nlvr2 --out data/clean --split-by group --ratio train=0.8,val=0.2
    """
    from ..schema.dataset import open_dataset
    from ..schema.errors import UsageError
    from ..schema.select.selection import Selection, select

    if options["stratify"] and options["sample"] is None:
        raise UsageError("--stratify says how a sample is drawn; give --sample, too")
    selection = Selection(shares=shares_of(ratio, options["split_by"]), **options)
    datasets = [(address, open_dataset(address)) for address in data]
    with show_progress(quiet) as progress:
        selected = select(datasets, out, selection, progress)
    write_card_of(out)
    if as_json:
        print_json(_result(selected, out))
        return
    for line in _lines(selected, out):
        click.echo(line)


def _result(selected: Selected, out: str) -> dict[str, Any]:
    return {
        "out": out,
        "read": selected.read,
        "splits": [
            {"split": row.split, "records": row.written, "images": row.images} for row in selected.manifest.splits
        ],
        "left_out": dict(selected.left_out),
        "notes": selected.splitting.lines() if selected.splitting is not None else [],
    }


def _lines(selected: Selected, out: str) -> list[str]:
    rows = selected.manifest.splits
    written = sum(row.written for row in rows)
    left_out = sum(selected.left_out.values())
    lines = [f"{out}: {counted(selected.read, 'record')} read = {written} selected + {left_out} left out"]
    lines += [f"  {row.split}: {counted(row.written, 'record')}, {counted(row.images, 'image')}" for row in rows]
    lines += [f"  left out by {reason}: {count}" for reason, count in selected.left_out.most_common()]
    if selected.splitting is not None:
        lines += [f"  {line}" for line in selected.splitting.lines()]
    return lines
