"""`phi3v-data train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..storage import LocalFolder, check_writable
from ..trainer.config import Attention, BackendName, Precision, Strategy, TooLong, Tracker, TrainConfig
from .json_result import json_option, print_json
from .local_path import LocalPath
from .mixture import mixture_option, open_sources
from .progress import quiet_option, show_progress
from .settings import parse_settings, prepare_training_packages, recipe_settings
from .settings_file import read_settings, settings_tree, settings_yaml

if TYPE_CHECKING:
    from ..trainer.data.sources import Source
    from ..trainer.train import RunResult

# Each option is one setting of the configuration; --set reaches the others.
_SETTINGS = {
    "strategy": "strategy",
    "model": "model.name",
    "init_adapter": "model.init_adapter",
    "train_projector": "train_projector",
    "precision": "model.precision",
    "attention": "model.attention",
    "backend": "backend",
    "batch_size": "batch_size",
    "micro_batch_tokens": "micro_batch_tokens",
    "accumulate": "accumulate",
    "epochs": "epochs",
    "lr": "optimizer.lr",
    "seed": "seed",
    "train_split": "data.train_split",
    "eval_split": "data.eval_split",
    "num_crops": "data.num_crops",
    "max_tokens": "data.max_tokens",
    "too_long": "data.too_long",
    "exact_pixels": "data.exact_pixels",
    "eval_every": "evaluation.every",
    "best_metric": "evaluation.primary",
    "save_every": "save_every",
    "save_minutes": "save_minutes",
    "keep": "keep_checkpoints",
    "track": "track",
    "profile": "profile",
}


@click.command("train", short_help="Fine-tune a model on a dataset.")
@click.argument("data", required=False)
@mixture_option
@click.option("--recipe", metavar="NAME", help="Settings of a named run; `phi3v-data recipes` lists them.")
@click.option("--config", "config_file", metavar="FILE", help="YAML file of settings; options override it.")
@click.option("--strategy", type=click.Choice(get_args(Strategy)), help="Parameters that are trained.  [default: lora]")
@click.option("--model", help="Hub id, local folder, or 'tiny'.  [default: microsoft/Phi-3.5-vision-instruct]")
@click.option("--init-adapter", help="Folder of an adapter, or of a lora run, to continue from.")
@click.option(
    "--train-projector",
    is_flag=True,
    default=None,
    help="Train projector and separators, too, with --strategy frozen-vision.",
)
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), help="Precision of weights and arithmetic.  [default: bf16]"
)
@click.option("--attention", type=click.Choice(get_args(Attention)), help="Attention kernel.  [default: auto]")
@click.option("--gpus", type=click.IntRange(min=1), help="Processes to start on this machine, one a GPU.  [default: 1]")
@click.option(
    "--backend",
    type=click.Choice(get_args(BackendName)),
    help="How a model is spread over several GPUs.  [default: auto, by strategy]",
)
@click.option("--batch-size", type=int, help="Records in one optimizer step.  [default: 16]")
@click.option(
    "--micro-batch-tokens", metavar="N|auto", help="Tokens in a micro-batch, at most.  [default: auto, what fits]"
)
@click.option("--accumulate", type=int, help="Micro-batches of a step, in place of a number of tokens in each.")
@click.option("--epochs", type=float, help="Passes over the training split.  [default: 1]")
@click.option("--lr", type=float, help="Peak learning rate.  [default: 1e-5 full, 2e-5 frozen-vision, 2e-4 others]")
@click.option("--seed", type=int, help="Seed of the order of records, adapters and dropout.  [default: 0]")
@click.option("--train-split", help="Split to train on.  [default: train]")
@click.option("--eval-split", help="Split to evaluate on.  [default: val, dev or test]")
@click.option("--num-crops", type=int, help="Largest number of crops of an image.  [default: the model's]")
@click.option("--max-tokens", type=int, help="Longest record, in tokens.  [default: as long as the model takes]")
@click.option(
    "--too-long", type=click.Choice(get_args(TooLong)), help="What is done about longer records.  [default: error]"
)
@click.option(
    "--exact-pixels", is_flag=True, default=None, help="Compute the published pixels bit for bit, by Pillow; slower."
)
@click.option("--eval-every", type=int, help="Steps between two evaluations; the best model is kept.  [default: none]")
@click.option(
    "--best-metric", metavar="NAME", help="What the best is chosen by, such as loss.  [default: anls, accuracy]"
)
@click.option("--save-every", type=int, help="Steps between two checkpoints.  [default: 500]")
@click.option("--save-minutes", type=float, help="Minutes between two checkpoints, beside --save-every.")
@click.option("--keep", type=int, help="Number of checkpoints that are kept, the newest.  [default: 2]")
@click.option(
    "--track", type=click.Choice(get_args(Tracker)), help="Tracker that curves are written to.  [default: tensorboard]"
)
@click.option("--profile", metavar="A:B", help="Steps of which a torch trace is written, from A up to but without B.")
@click.option(
    "--resume",
    default="auto",
    show_default=True,
    metavar="auto|never|PATH",
    help="Resume what --out holds (auto), begin in an empty folder (never), or resume from a checkpoint (PATH).",
)
@click.option("--out", type=LocalPath(), help="Folder of the run.  [default: runs/<data>-<strategy>]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting of --show-config.")
@click.option("--no-validate", is_flag=True, help="Train on data that `validate` finds errors in, too.")
@click.option("--show-config", is_flag=True, help="Print all settings as a file for --config and exit.")
@click.option("--dry-run", is_flag=True, help="Print what would be done and exit; no model is loaded.")
@quiet_option
@json_option
def command(
    data: str | None,
    mixture: tuple[str, ...],
    recipe: str | None,
    config_file: str | None,
    gpus: int | None,
    resume: str,
    out: Path | None,
    settings: tuple[str, ...],
    no_validate: bool,
    show_config: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a model on a dataset, evaluate it before and after, and save it.

    DATA is a dataset folder, one split's JSONL or a pattern of shards, here or on an object store; left out, the one
    dataset under data/. The same command again resumes where the run ended. --gpus starts a process a GPU; under
    torchrun, srun or mpirun all processes train together.
    """
    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    of_recipe = recipe_settings(recipe)
    of_file = read_settings(config_file) if config_file else {}
    flags = {setting: f"--{name.replace('_', '-')}" for name, setting in _SETTINGS.items() if setting in given}
    config = make_config({**of_recipe, **of_file, **given, **parse_settings(settings)}, flags)
    if show_config:
        click.echo(settings_yaml(config), nl=False)
        return
    sources = open_sources(data, mixture)
    first = Path(sources[0].dataset.folder.address).resolve().name
    out = out or Path("runs") / f"{first}-{config.strategy}"
    if dry_run:
        _check_data(sources, no_validate=no_validate, quiet=quiet)
        _print_outline(config, sources, out, as_json)
        return
    # The processes of one run share their data and its place: the first looks at them.
    from ..trainer.launch import is_first_process

    is_first = is_first_process(os.environ)
    if is_first:
        check_writable(LocalFolder(out))
        _check_data(sources, no_validate=no_validate, quiet=quiet)
    prepare_training_packages()
    if gpus is not None:
        _launch(gpus)
    log = _log_nothing if quiet else partial(click.echo, err=as_json)
    if recipe is not None and is_first:
        _log_recipe(recipe, config, log)
    from ..trainer.train import train

    with show_progress(quiet) as progress:
        result = train(config, sources, out, log, resume, progress)
    if not is_first:
        return
    from .card import write_model_card

    write_model_card(str(out))
    if as_json:
        print_json(_summary(result))
    else:
        for line in result.lines():
            click.echo(line)


def _print_outline(config: TrainConfig, sources: Sequence[Source], out: Path, as_json: bool) -> None:
    from ..trainer.outline import locate_model, outline_run

    outline, model = outline_run(config, sources), locate_model(config)
    if as_json:
        found = {
            "out": out,
            "samples": outline.records,
            "steps": outline.steps,
            "train_splits": outline.train_splits,
            "eval_split": outline.eval_split,
            "model": model,
            "settings": settings_tree(config),
        }
        print_json(found)
        return
    click.echo(f"{outline.in_words(config)}; goes to {out}")
    click.echo(f"training on split {', '.join(outline.train_splits)}; {outline.evaluation(config)}")
    click.echo(f"model {model}")
    click.echo(settings_yaml(config), nl=False)


def _log_nothing(line: str) -> None: ...


def _summary(result: RunResult) -> dict[str, Any]:
    evaluations = {"before": result.before, "after": result.after}
    return {
        "out": result.folder.path,
        "model": result.folder.model,
        "already_finished": result.already_finished,
        "steps": result.steps,
        "last_loss": result.losses[-1] if result.losses else None,
        "parameters_trained": result.trained,
        "bad_samples": result.bad_samples,
        **{when: found and {"split": found.split, "metrics": found.metrics} for when, found in evaluations.items()},
    }


def _check_data(sources: Sequence[Source], *, no_validate: bool, quiet: bool) -> None:
    """Refuse data with errors, unless it was asked for; a dry run as well as a run."""
    if not no_validate:
        from ..schema.rules.gate import refuse_errors

        with show_progress(quiet) as progress:
            refuse_errors([source.dataset for source in sources], progress)


def _log_recipe(name: str, config: TrainConfig, log: Callable[[str], None]) -> None:
    """Log the settings that hold, and whether the model is the one that the recipe is for."""
    from ..trainer.recipes import load_recipe

    log(settings_yaml(config).rstrip())
    recipe, model = load_recipe(name), config.model.name
    if not recipe.is_for(model):
        log(f"recipe {name} is for {recipe.model}; its published result does not apply to {model}")


def _launch(gpus: int) -> None:
    """Start the processes that were asked for, unless this is one of them."""
    import torch

    from ..trainer.launch import check_gpus, is_launched, launch

    if is_launched(os.environ):
        return
    check_gpus(gpus, torch.cuda.device_count())
    if gpus > 1:
        launch(gpus, sys.argv[1:])
