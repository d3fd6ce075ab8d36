"""`phi3v-data train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from ..trainer.config import Attention, Precision, Strategy
from .settings import parse_settings, prepare_training_packages

__all__ = ["command"]

# Each option is one setting of the configuration; --set reaches the others.
_SETTINGS = {
    "strategy": "strategy",
    "model": "model.name",
    "precision": "model.precision",
    "attention": "model.attention",
    "batch_size": "batch_size",
    "accumulate": "accumulate",
    "epochs": "epochs",
    "lr": "optimizer.lr",
    "seed": "seed",
}


@click.command("train", short_help="Fine-tune a model on a dataset.")
@click.argument("data", required=False)
@click.option(
    "--strategy", type=click.Choice(get_args(Strategy)), help="Which parameters are trained.  [default: lora]"
)
@click.option("--model", help="Hub id, local folder, or 'tiny'.  [default: microsoft/Phi-3.5-vision-instruct]")
@click.option("--precision", type=click.Choice(get_args(Precision)), help="Weights and arithmetic.  [default: bf16]")
@click.option(
    "--attention",
    type=click.Choice(get_args(Attention)),
    help="Attention kernel.  [default: auto]",
)
@click.option("--batch-size", type=int, help="Records in one optimizer step.  [default: 16]")
@click.option("--accumulate", type=int, help="Forward passes a step is cut into.  [default: one a record]")
@click.option("--epochs", type=float, help="Passes over the training split.  [default: 1]")
@click.option("--lr", type=float, help="Peak learning rate.  [default: 1e-5 full, 2e-4 lora]")
@click.option("--seed", type=int, help="Of the order of records, adapters and dropout.  [default: 0]")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/<data>-<strategy>]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting; --dry-run shows them all."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
def command(data: str | None, out: Path | None, settings: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    """Fine-tune a model on a dataset, judge it before and after, and save it.

    DATA is a dataset folder or one split's JSONL; left out, the one dataset under data/.
    """
    import msgspec

    from ..schema.dataset import the_dataset
    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({**given, **parse_settings(settings)})
    dataset = the_dataset(data)
    prepare_training_packages()
    from ..trainer.train import plan_run, train

    plan = plan_run(config, dataset)
    steps = f"{plan.records} records in {plan.train_split}, {plan.steps} steps of {config.batch_size}"
    click.echo(f"{dataset.folder.address}: {steps}")
    if dry_run:
        click.echo(msgspec.json.format(msgspec.json.encode(config), indent=2))
        return
    out = out or Path("runs") / f"{Path(dataset.folder.address).resolve().name}-{config.strategy}"
    result = train(config, dataset, out, click.echo)
    if result.before and result.after:
        click.echo(f"accuracy {result.before.accuracy:.3f} before, {result.after.accuracy:.3f} after")
    click.echo(f"model in {out / 'model'}; watch the losses with: tensorboard --logdir {out / 'logs'}")
