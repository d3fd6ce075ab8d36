"""`phi3v-data card`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .json_result import json_option, print_json
from .progress import quiet_option, show_progress

if TYPE_CHECKING:
    from ..data_cards.cards.facts import Measured
    from ..schema.dataset import Dataset


@click.command("card", short_help="Write the card of a dataset or a run: README.md for people and for the hub.")
@click.argument("address", metavar="[DATA|RUN]", required=False)
@click.option(
    "--measure/--no-measure",
    default=None,
    help="Measure images and count tokens, and run validate.  [default: if the model's tokenizer is here]",
)
@click.option(
    "--model",
    help="Model whose tokens and crops are counted: a folder or a hub id.  "
    "[default: microsoft/Phi-3.5-vision-instruct]",
)
@click.option(
    "--num-crops", type=click.IntRange(1), help="Largest number of crops of an image.  [default: the model's]"
)
@click.option(
    "--out", metavar="DIR", help="Folder that README.md is written to.  [default: the dataset's or run's own folder]"
)
@quiet_option
@json_option
def command(
    address: str | None,
    measure: bool | None,
    model: str | None,
    num_crops: int | None,
    out: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the card of a dataset or a run: README.md for people and for the hub.

    DATA is a dataset folder; left out, the one dataset under data/. `datasets.load_dataset` finds each split by the
    card's front matter. The card of a RUN goes beside its model. A card can be written again: sections and keys that a
    person edited stay as they are.
    """
    from ..data_cards.counting import find_counting
    from ..data_cards.run_files import is_run
    from ..schema.dataset import the_dataset
    from ..storage import check_writable, open_folder

    if address is not None and is_run(address):
        card, kept = write_model_card(address, out)
        _print(card, kept, False, as_json)
        return
    dataset = the_dataset(address)
    counting, name = (None, "") if measure is False else find_counting(model, num_crops)
    if measure and counting is None:
        raise click.UsageError("--measure needs a tokenizer, and the default model is not here; name one by --model")
    folder = open_folder(out) if out else dataset.folder
    check_writable(folder)
    from ..data_cards.cards.facts import measure as measured_facts

    with show_progress(quiet) as progress:
        measured = measured_facts(dataset, counting, name, None, progress) if counting else None
    kept = write_dataset_card(dataset, measured=measured, out=out)
    _print(f"{folder.address}/README.md", kept, measured is not None, as_json)


def _print(card: str, kept: list[str], measured: bool, as_json: bool) -> None:
    if as_json:
        print_json({"card": card, "kept": kept, "measured": measured})
        return
    click.echo(f"{card}: written")
    if kept:
        click.echo(f"left as they were edited: {', '.join(kept)}")


def write_dataset_card(
    dataset: Dataset, measured: Measured | None = None, out: str | None = None, address: str = "."
) -> list[str]:
    """Write the card of a dataset.

    Args:
        dataset: the data.
        measured: sizes, tokens and findings, where somebody looked.
        out: the folder that gets README.md; by default the dataset's own.
        address: what the card tells people to load.

    Returns:
        The names of what was left as a person edited it.
    """
    from ..data_cards.cards.dataset_card import dataset_sections, front_matter
    from ..data_cards.cards.facts import dataset_facts
    from ..data_cards.cards.write import write_card
    from ..storage import open_folder
    from .conversion_command import history_commands

    facts = dataset_facts(dataset)
    made_by = history_commands(dataset.manifest) if dataset.manifest else ""
    sections = dataset_sections(dataset, facts, measured, made_by, address)
    return write_card(open_folder(out) if out else dataset.folder, front_matter(dataset, facts), sections)


def write_card_of(address: str) -> None:
    """Write the card of a dataset that a command has just made; where it cannot be written, say so."""
    from ..schema.dataset import open_dataset
    from ..schema.errors import OutputError

    try:
        write_dataset_card(open_dataset(address))
    except OutputError as error:
        # The dataset is whole without it.
        click.echo(f"no card was written: {error}", err=True)


def write_model_card(run: str, out: str | None = None) -> tuple[str, list[str]]:
    """Write the card of a run's model, beside its weights; before there are any, into the run's folder.

    Args:
        run: the run's folder.
        out: another folder that gets README.md.

    Returns:
        Where the card is, and the names of what was left as a person edited it.
    """
    from ..data_cards.cards.model_card import model_front_matter, model_sections
    from ..data_cards.cards.write import write_card
    from ..data_cards.run_files import read_run
    from ..storage import check_writable, open_folder

    files = read_run(run)
    model = files.path / "model"
    folder = open_folder(out or str(model if model.is_dir() else files.path))
    check_writable(folder)
    kept = write_card(folder, model_front_matter(files), model_sections(files))
    return f"{folder.address}/README.md", kept
