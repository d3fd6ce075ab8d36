"""`phi3v-data evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import click

from ..storage import LocalFolder
from ..trainer.config import Precision
from .settings import parse_settings, prepare_training_packages

__all__ = ["command"]

_SETTINGS = {
    "split": "data.eval_split",
    "precision": "model.precision",
    "batch_size": "evaluation.batch_size",
    "max_new_tokens": "evaluation.max_new_tokens",
    "limit": "evaluation.limit",
}


@click.command("evaluate", short_help="Judge a model on a dataset, and write every answer out.")
@click.argument("data", required=False)
@click.option("--checkpoint", required=True, help="A run's folder, a model or adapter folder, a hub id, or 'tiny'.")
@click.option("--split", help="Which split.  [default: val or test, else the first]")
@click.option("--precision", type=click.Choice(get_args(Precision)), help="Weights and arithmetic.  [default: bf16]")
@click.option("--batch-size", type=int, help="Records answered at a time.  [default: 8]")
@click.option("--max-new-tokens", type=int, help="Longest answer.  [default: 64]")
@click.option("--limit", type=int, help="At most so many records.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the answers go.  [default: eval_<split>.json there]"
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting, as for train.")
def command(data: str | None, checkpoint: str, out: Path | None, settings: tuple[str, ...], **options: Any) -> None:
    """Judge a model on a dataset, and write every answer out.

    DATA is a dataset folder or one split's JSONL; left out, the one dataset under data/. The answers are written into
    the checkpoint's folder, or into the working folder where the checkpoint is none.
    """
    from ..schema.dataset import the_dataset
    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({"model.name": checkpoint, **given, **parse_settings(settings)})
    dataset = the_dataset(data)
    prepare_training_packages()
    from ..trainer.checkpoint import load_checkpoint
    from ..trainer.evaluate import evaluate, evaluation_split

    split = evaluation_split(dataset, config.data.eval_split) or dataset.splits[0]
    model, processor = load_checkpoint(config)
    judgement = evaluate(
        model, processor, dataset, split, config.evaluation, _progress, exact_pixels=config.data.exact_pixels
    )
    folder = Path(checkpoint) if Path(checkpoint).is_dir() else Path()
    out = out or folder / f"eval_{split}.json"
    LocalFolder(out.parent).write(out.name, judgement.as_json())
    click.echo(f"{judgement.summary()}; answers in {out}")


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {total} answered", err=True, nl=done == total)
