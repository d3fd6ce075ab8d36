"""`phi3v-data estimate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .mixture import mixture_option, open_sources
from .settings import parse_settings, prepare_training_packages

if TYPE_CHECKING:
    from ..trainer.estimate import DataEstimate

__all__ = ["command"]

_SETTINGS = {
    "model": "model.name",
    "num_crops": "data.num_crops",
    "batch_size": "batch_size",
    "accumulate": "accumulate",
    "epochs": "epochs",
    "max_tokens": "data.max_tokens",
    "split": "data.train_split",
}
_LISTED = 20


@click.command("estimate", short_help="Say what a run is going to read: tokens, crops, steps, balance.")
@click.argument("data", required=False)
@mixture_option
@click.option(
    "--model", help="Hub id, local folder, or 'tiny'; no weights.  [default: microsoft/Phi-3.5-vision-instruct]"
)
@click.option("--num-crops", type=int, help="Most crops an image.  [default: the model's]")
@click.option("--batch-size", type=int, help="Records in one optimizer step.  [default: 16]")
@click.option("--accumulate", type=int, help="Micro-batches a GPU takes for a step.  [default: by tokens]")
@click.option("--gpus", "--ranks", "ranks", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--epochs", type=float, help="Passes over the training split.  [default: 1]")
@click.option("--max-tokens", type=int, help="List the records that are longer, and leave them out.")
@click.option("--split", help="Which split.  [default: train]")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to report."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting, as for train.")
def command(
    data: str | None, mixture: tuple[str, ...], ranks: int, form: str, settings: tuple[str, ...], **options: Any
) -> None:
    """Say what a run is going to read: tokens, crops, steps, balance between GPUs, and what packing saves.

    The headers of the images are read, and of the model its tokenizer and configuration. What was counted is kept
    beside the data, and `train` takes it from there.
    """
    import msgspec

    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({**given, **parse_settings(settings)})
    sources = open_sources(data, mixture)
    prepare_training_packages()
    from ..schema.index import Counting
    from ..trainer.estimate import estimate_data
    from ..trainer.model_folder import load_model_config, load_run_processor

    counting = Counting.of(load_run_processor(config))
    found = estimate_data(sources, config, counting, load_model_config(config), ranks, _progress)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        click.echo("\n".join(_lines(found)))


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {total:,} records measured", err=True, nl=done == total)


def _lines(found: DataEstimate) -> list[str]:
    lines = [f"records: {found.records:,}; epochs: {found.epochs:g}; steps: {found.steps:,} of {found.batch_size}"]
    if found.faulty:
        lines.append(f"{found.faulty:,} of them cannot be trained on; phi3v-data validate names them")
    if found.unanswered:
        lines.append(f"{found.unanswered:,} of them have a turn without an answer")
    if found.too_long:
        lines.append(f"{len(found.too_long):,} of them are too long, and left out below:")
        lines += [f"  {record.id}: {record.tokens:,} tokens" for record in found.too_long[:_LISTED]]
        if len(found.too_long) > _LISTED:
            lines.append(f"  and {len(found.too_long) - _LISTED:,} more; --format json names all")
    lines += [
        "",
        f"{'a record':<12}" + "".join(f"{name:>10}" for name in ("mean", "least", "p50", "p90", "p99", "most")),
    ]
    for name, spread in (("tokens", found.tokens), ("images", found.images), ("crops", found.crops)):
        numbers = (spread.least, spread.p50, spread.p90, spread.p99, spread.most)
        lines.append(f"{name:<12}{spread.mean:>10,.1f}" + "".join(f"{number:>10,}" for number in numbers))
    balance = found.balance
    where = f"steps: the first {balance.steps}; GPUs: {found.ranks}; micro-batches a GPU: {balance.micro_batches:.3g}"
    return [
        *lines,
        "",
        f"{found.tokens.total:,} tokens, {found.images.total:,} images and {found.crops.total:,} crops in all",
        f"{found.teraflop:,.3g} TFLOP to train on a record, forward and backward",
        "",
        f"without padding  {balance.padding:.1%} of the tokens saved, against micro-batches padded to their longest",
        f"                 {found.crop_padding:.1%} of the crops saved, against images padded to the most crops",
        f"balanced by cost   the costliest GPU has {balance.imbalance:.1%} more than the mean; "
        f"{balance.worst_imbalance:.1%} in the worst step; {balance.imbalance_in_order:.1%} if assigned in order",
        f"                 ({where})",
    ]
