"""`phi3v-data evaluate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from ..schema.errors import OutputError, UsageError
from ..storage import LocalFolder, check_writable
from ..trainer.config import Precision
from .json_result import json_option, print_json
from .local_path import LocalPath
from .progress import quiet_option, show_progress
from .settings import parse_settings, prepare_training_packages

_SETTINGS = {
    "split": "data.eval_split",
    "precision": "model.precision",
    "batch_size": "evaluation.batch_size",
    "max_new_tokens": "evaluation.max_new_tokens",
    "limit": "evaluation.limit",
    "metrics": "evaluation.metrics",
}

# What --json prints of an evaluation: all but the answers, which are in its file.
_NUMBERS = ("split", "metrics", "primary", "correct", "total", "without_answer")


@click.command("evaluate", short_help="Evaluate a model on a dataset, and write every answer out.")
@click.argument("data", required=False)
@click.option("--checkpoint", required=True, help="A run's folder, a model or adapter folder, a hub id, or 'tiny'.")
@click.option("--split", help="Split to evaluate.  [default: val, dev or test]")
@click.option("--metrics", help="Metrics to compute, with commas between.  [default: all that the data allows]")
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), help="Precision of weights and arithmetic.  [default: bf16]"
)
@click.option("--batch-size", type=click.IntRange(1), help="Questions answered at a time.  [default: 8]")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Longest answer, in tokens.  [default: 64]")
@click.option("--limit", type=click.IntRange(1), help="Largest number of records.")
@click.option(
    "--out",
    type=LocalPath(),
    help="File that the result is written to.  [default: eval_<split>.json in the checkpoint's folder]",
)
@click.option("--compare", type=LocalPath(), help="Earlier result to compare with, question by question.")
@click.option("--restart", is_flag=True, help="Ask every question again, also those that were answered before.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting that train takes.")
@quiet_option
@json_option
def command(
    data: str | None,
    checkpoint: str,
    out: Path | None,
    compare: Path | None,
    restart: bool,
    settings: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate a model on a dataset, and write every answer out.

    DATA is a dataset folder or one split's JSONL; left out, the one dataset under data/. The result is written into
    the checkpoint's folder, or into the working folder where the checkpoint is none. An evaluation that was stopped
    continues when the same command is run again. Under torchrun the questions are shared by all GPUs.
    """
    from ..schema.dataset import the_dataset
    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({"model.name": checkpoint, **given, **parse_settings(settings)})
    dataset = the_dataset(data)
    prepare_training_packages()
    from ..trainer.evaluation import check_evaluation, evaluate, evaluation_split
    from ..trainer.evaluation.comparison import compare as compared
    from ..trainer.evaluation.journal import AnswerJournal, evaluation_identity
    from ..trainer.evaluation.result import read_evaluation
    from ..trainer.model_folder import load_for_evaluation
    from ..trainer.processes import Processes

    earlier = read_evaluation(compare) if compare else None
    split = evaluation_split(dataset, config.data.eval_split)
    if split is None:
        have = ", ".join(dataset.splits)
        raise UsageError(f"{dataset.folder.address}: no split to evaluate on, only {have}; name one by --split")
    out = out or (Path(checkpoint) if Path(checkpoint).is_dir() else Path()) / f"eval_{split}.json"
    _check_writable(out)
    check_evaluation(dataset, split, config.evaluation)
    identity = evaluation_identity(config, dataset.digest(), split)
    journal = AnswerJournal(out.with_suffix(".answers"), identity)
    processes = Processes.init()
    if restart:
        processes.by_first(journal.remove)
    model, processor = load_for_evaluation(config)
    with show_progress(quiet or not processes.first) as progress:
        found = evaluate(
            model,
            processor,
            dataset,
            split,
            config.evaluation,
            progress,
            processes,
            config.data.exact_pixels,
            journal,
            log=partial(click.echo, err=as_json) if processes.first else lambda line: None,
        )
    if processes.first:
        LocalFolder(out.parent).write(out.name, found.as_json())
        journal.remove()
        comparison = compared(earlier, found) if earlier else None
        if as_json:
            numbers = {name: getattr(found, name) for name in _NUMBERS}
            print_json({"out": out, **numbers, "comparison": comparison})
        else:
            click.echo(f"{found.summary()}; answers in {out}")
            if comparison:
                click.echo(f"against {compare}: {comparison.summary()}")
    processes.shutdown()


def _check_writable(out: Path) -> None:
    """Look at the place of the result before anything is asked.

    Raises:
        OutputError: it cannot be written.
    """
    if out.is_dir():
        raise OutputError(f"--out {out}: is a folder; name the file that the result goes to")
    if out.exists() and not out.is_file():
        raise OutputError(f"--out {out}: not a regular file; choose another place")
    check_writable(LocalFolder(out.parent))
