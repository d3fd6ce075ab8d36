"""`phi3v-data train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from ..trainer.config import Attention, Precision, Strategy, TooLong
from .mixture import mixture_option, open_sources
from .settings import parse_settings, prepare_training_packages

__all__ = ["command"]

# Each option is one setting of the configuration; --set reaches the others.
_SETTINGS = {
    "strategy": "strategy",
    "model": "model.name",
    "init_adapter": "model.init_adapter",
    "train_projector": "train_projector",
    "precision": "model.precision",
    "attention": "model.attention",
    "batch_size": "batch_size",
    "accumulate": "accumulate",
    "epochs": "epochs",
    "lr": "optimizer.lr",
    "seed": "seed",
    "max_tokens": "data.max_tokens",
    "too_long": "data.too_long",
    "exact_pixels": "data.exact_pixels",
    "save_every": "save_every",
}


@click.command("train", short_help="Fine-tune a model on a dataset.")
@click.argument("data", required=False)
@mixture_option
@click.option(
    "--strategy", type=click.Choice(get_args(Strategy)), help="Which parameters are trained.  [default: lora]"
)
@click.option("--model", help="Hub id, local folder, or 'tiny'.  [default: microsoft/Phi-3.5-vision-instruct]")
@click.option("--init-adapter", help="Adapter's folder, or a lora run's, to continue from.")
@click.option(
    "--train-projector", is_flag=True, default=None, help="Frozen vision: train projector and separators too."
)
@click.option("--precision", type=click.Choice(get_args(Precision)), help="Weights and arithmetic.  [default: bf16]")
@click.option(
    "--attention",
    type=click.Choice(get_args(Attention)),
    help="Attention kernel.  [default: auto]",
)
@click.option("--batch-size", type=int, help="Records in one optimizer step.  [default: 16]")
@click.option("--accumulate", type=int, help="Forward passes a GPU takes for a step.  [default: one a record]")
@click.option("--epochs", type=float, help="Passes over the training split.  [default: 1]")
@click.option("--lr", type=float, help="Peak learning rate.  [default: 1e-5 full, 2e-5 frozen-vision, 2e-4 others]")
@click.option("--seed", type=int, help="Of the order of records, adapters and dropout.  [default: 0]")
@click.option("--max-tokens", type=int, help="Longest record.  [default: as long as the model takes]")
@click.option(
    "--too-long", type=click.Choice(get_args(TooLong)), help="What is done about longer ones.  [default: error]"
)
@click.option("--exact-pixels", is_flag=True, default=None, help="The published pixels bit for bit, by Pillow; slower.")
@click.option("--save-every", type=int, help="Steps between two checkpoints.  [default: 500]")
@click.option(
    "--resume",
    default="auto",
    show_default=True,
    metavar="auto|never|PATH",
    help="Go on with what --out holds; begin anew in an empty folder; or go on from a checkpoint.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/<data>-<strategy>]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting; --dry-run shows them all."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
def command(
    data: str | None,
    mixture: tuple[str, ...],
    resume: str,
    out: Path | None,
    settings: tuple[str, ...],
    dry_run: bool,
    **options: Any,
) -> None:
    """Fine-tune a model on a dataset, judge it before and after, and save it.

    DATA is a dataset folder, one split's JSONL or a pattern of shards, here or on an object store; left out, the one
    dataset under data/. Given again, the same command goes on where it ended. Under torchrun all processes train
    together.
    """
    import msgspec

    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({**given, **parse_settings(settings)})
    sources = open_sources(data, mixture)
    first = Path(sources[0].dataset.folder.address).resolve().name
    out = out or Path("runs") / f"{first}-{config.strategy}"
    prepare_training_packages()
    from ..trainer.train import outline_run, train

    if dry_run:
        plan = outline_run(config, sources)
        click.echo(f"{plan.records} samples an epoch, {plan.steps} steps of {config.batch_size}; would go to {out}")
        click.echo(msgspec.json.format(msgspec.json.encode(config), indent=2))
        return
    train(config, sources, out, click.echo, resume)
