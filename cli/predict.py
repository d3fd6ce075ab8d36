"""`phi3v-data predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..schema.errors import UsageError
from ..trainer.config import Attention, Precision
from .json_result import json_option, print_json
from .local_path import LocalPath
from .settings import parse_settings, prepare_training_packages

if TYPE_CHECKING:
    from ..trainer.config import TrainConfig
    from ..trainer.phi3v import Phi3VForCausalLM, Phi3VProcessor
    from ..trainer.predict import Prediction

_SETTINGS = {
    "split": "data.eval_split",
    "precision": "model.precision",
    "attention": "model.attention",
    "num_crops": "data.num_crops",
    "max_new_tokens": "evaluation.max_new_tokens",
}


@click.command("predict", short_help="Print a model's answer to one question.")
@click.argument("images", nargs=-1, type=LocalPath(), metavar="[IMAGE]...")
@click.option("--checkpoint", required=True, help="A run's folder, a model or adapter folder, a hub id, or 'tiny'.")
@click.option("--prompt", help="The question; the images are shown before it, in their order.")
@click.option("--data", help="Ask the questions of a dataset instead.")
@click.option("--split", help="Split of that dataset.  [default: val, dev or test]")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Largest number of records.")
@click.option("--max-new-tokens", type=int, help="Longest answer, in tokens.  [default: 64]")
@click.option("--num-crops", type=int, help="Largest number of crops of an image.  [default: the model's]")
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), help="Precision of weights and arithmetic.  [default: bf16]"
)
@click.option("--attention", type=click.Choice(get_args(Attention)), help="Attention kernel.  [default: auto]")
@json_option
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting that train takes.")
def command(
    images: tuple[Path, ...],
    checkpoint: str,
    prompt: str | None,
    data: str | None,
    limit: int,
    as_json: bool,
    settings: tuple[str, ...],
    **options: Any,
) -> None:
    """Print a model's answer to one question as it is generated, and the time that a token takes.

    \b
    phi3v-data predict --checkpoint runs/mine page.png --prompt "What is the total?"
    phi3v-data predict --checkpoint runs/mine --data data/mine --limit 5
    """
    from ..trainer.config import make_config

    if (prompt is None) == (data is None):
        raise click.UsageError("expected --prompt TEXT with images, or --data DATA: one of the two")
    if data is not None and images:
        raise click.UsageError("--data beside images: the dataset has images of its own, leave one of the two out")
    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({"model.name": checkpoint, **given, **parse_settings(settings)})
    for image in images:
        if not image.is_file():
            raise UsageError(f"{image}: no such file; pass image files")
    prepare_training_packages()
    from ..trainer.model_folder import load_for_evaluation
    from ..trainer.predict import predict, question

    model, processor = load_for_evaluation(config)
    if data is not None:
        answers = _ask_dataset(model, processor, data, limit, config, as_json)
        if as_json:
            print_json({"answers": answers})
        return
    sample = question(processor, images, prompt or "", config.data.exact_pixels)
    write = _quiet if as_json else _stream
    found = predict(model, processor, sample, config.evaluation.max_new_tokens, write=write)
    if as_json:
        print_json(_answered(found, images=[str(image) for image in images], prompt=prompt))
    else:
        _finish(found)


def _ask_dataset(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, data: str, limit: int, config: TrainConfig, as_json: bool
) -> list[dict[str, Any]]:
    """Ask every turn of the first records of a split, and return what --json prints of the answers."""
    from ..schema.dataset import the_dataset
    from ..schema.index import RecordIndex
    from ..trainer.data.samples import SampleSource
    from ..trainer.evaluation import evaluation_split
    from ..trainer.predict import predict

    dataset = the_dataset(data)
    split = evaluation_split(dataset, config.data.eval_split)
    if split is None:
        raise UsageError(f"{data}: no split val or test, only {', '.join(dataset.splits)}; name one by --split")
    samples = SampleSource(RecordIndex(dataset, split), processor, config.data.exact_pixels)
    answers = []
    for number in range(min(limit, len(samples))):
        sample = samples[number]
        for place, turn in enumerate(sample.record.conversations):
            if not as_json:
                click.echo(f"{sample.record.id}, turn {place + 1}: expected {turn.assistant!r}, answered ", nl=False)
            write = _quiet if as_json else _stream
            found = predict(model, processor, sample, config.evaluation.max_new_tokens, place, write)
            answers.append(_answered(found, id=sample.record.id, turn=place, expected=turn.assistant))
            if not as_json:
                _finish(found)
    return answers


def _stream(text: str) -> None:
    # A model may write what a terminal would take for a command.
    click.echo("".join(letter for letter in text if letter.isprintable() or letter in "\n\t"), nl=False)
    sys.stdout.flush()


def _quiet(text: str) -> None:
    """Leave a piece of an answer to be written with the whole."""


def _answered(found: Prediction, **asked: Any) -> dict[str, Any]:
    answer = {"answer" if name == "text" else name: value for name, value in vars(found).items()}
    return {**asked, **answer}


def _finish(found: Prediction) -> None:
    click.echo()
    click.echo(found.timing(), err=True)
