"""`phi3v-data order`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .json_result import json_option, print_json
from .mixture import mixture_option, open_sources
from .progress import quiet_option, show_progress
from .settings import parse_settings, prepare_training_packages

if TYPE_CHECKING:
    from ..trainer.data.plan import SampleRef
    from ..trainer.data.training_data import TrainingData

_SETTINGS = {
    "batch_size": "batch_size",
    "seed": "seed",
    "split": "data.train_split",
    "max_tokens": "data.max_tokens",
    "model": "model.name",
}


@click.command("order", short_help="Print the record ids of each optimizer step.")
@click.argument("data", required=False)
@mixture_option
@click.option("--batch-size", type=int, help="Records in one optimizer step.  [default: 16]")
@click.option("--seed", type=int, help="Seed of the order.  [default: 0]")
@click.option("--steps", required=True, metavar="A:B", help="The steps from A, counted from 0, up to but without B.")
@click.option("--split", help="Split to train on.  [default: train]")
@click.option("--max-tokens", type=int, help="Leave longer records out, as `train --too-long drop` does.")
@click.option("--model", help="Model whose tokens are counted, as for train.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting that train takes.")
@quiet_option
@json_option
def command(
    data: str | None,
    mixture: tuple[str, ...],
    steps: str,
    settings: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the record ids of each optimizer step: what `train` reads with the same data, settings and seed.

    One JSON object a line (all in one with --json): `step` and `ids`; of several datasets also `data`, the number of
    each record's (from 0). No image is touched, and no model or tokenizer is needed, unless --max-tokens leaves records
    out by their tokens. The number of processes, workers and micro-batches does not change the order.
    """
    import msgspec

    from ..schema.progress import followed
    from ..trainer.config import make_config
    from ..trainer.data.training_data import TrainingData

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    others = parse_settings(settings)
    config = make_config({"data.too_long": "drop", **given, **others})
    wanted = _range(steps)
    with show_progress(quiet) as progress:
        training = TrainingData(open_sources(data, mixture), config.data, progress)
        plan = training.plan(config.batch_size, config.seed)
        if config.data.max_tokens is not None or "data.too_long" in others:
            prepare_training_packages()
            from ..trainer.model_folder import load_run_processor

            measured = training.measure(load_run_processor(config), lambda line: click.echo(line, err=True), progress)
            plan = measured.plan(config.batch_size, config.seed)
        rows = (_row(training, number, plan.step(number), of_several=bool(mixture)) for number in wanted)
        shown = followed(rows, progress, "Ordering", "steps", len(wanted))
        if as_json:
            whole = {"steps": list(shown)}
        else:
            for row in shown:
                click.echo(msgspec.json.encode(row))
    if as_json:
        print_json(whole)


def _row(training: TrainingData, number: int, samples: Sequence[SampleRef], *, of_several: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": number,
        "ids": [training.indexes[sample.dataset].ids([sample.record])[0] for sample in samples],
    }
    if of_several:
        row["data"] = [sample.dataset for sample in samples]
    return row


def _range(steps: str) -> range:
    first, colon, end = steps.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise click.UsageError(f"--steps {steps}: expected A:B, two step numbers such as 0:10, the second larger")
    return range(int(first), int(end))
