"""`phi3v-data recipes`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .json_result import json_option, print_json
from .local_path import LocalPath

if TYPE_CHECKING:
    from ..trainer.recipe_results import RunResult
    from ..trainer.recipes import Recipe


@click.command("recipes", short_help="List the named runs, or their results beside the published ones.")
@click.argument("name", required=False)
@click.option("--results", type=LocalPath(), help="Folder of finished runs, whose results are listed.")
@json_option
def command(name: str | None, results: Path | None, as_json: bool) -> None:
    """List the named runs, or their results beside the published ones.

    Each is a row of the result tables of Microsoft's Phi cookbook, and is started by: phi3v-data train --recipe NAME.
    With NAME, all of one is shown: its settings, its published flags, and what differs.
    """
    from ..trainer.recipe_results import collect_results
    from ..trainer.recipes import load_recipe, recipe_names

    if name is not None and results is not None:
        raise click.UsageError(f"both NAME ({name}) and --results were given; give one of them")
    if results is not None:
        rows = collect_results(results)
        if as_json:
            print_json({"results": rows})
        else:
            click.echo(_table_of_results(rows))
        return
    recipes = [load_recipe(each) for each in ([name] if name is not None else recipe_names())]
    if as_json:
        print_json({"recipes": recipes})
    else:
        click.echo(_described(recipes[0]) if name is not None else _table(recipes))


def _table(recipes: Iterable[Recipe]) -> str:
    rows = [("recipe", "model", "epochs", "learning rate", "published result")]
    for recipe in recipes:
        published = ", ".join(f"{result:.2f} {precision}" for precision, result in recipe.published.results.items())
        settings = recipe.settings
        model = str(settings["model.name"]).rpartition("/")[2]
        result = f"{recipe.published.metric} {published}"
        rows.append((recipe.name, model, str(settings["epochs"]), str(settings["optimizer.lr"]), result))
    return _aligned(rows) + "\n\nphi3v-data recipes NAME shows one; phi3v-data train --recipe NAME starts it"


def _described(recipe: Recipe) -> str:
    settings = "\n".join(f"  {name}: {value}" for name, value in recipe.settings.items())
    differences = "\n".join(f"  {what}: {' '.join(why.split())}" for what, why in recipe.differences.items())
    results = ", ".join(f"{result:.2f} ({precision})" for precision, result in recipe.published.results.items())
    published = recipe.published
    return (
        f"{recipe.name}: {recipe.task}, {recipe.strategy}\n\n"
        f"  {recipe.convert}\n  phi3v-data train data/{recipe.source} --recipe {recipe.name}\n\n"
        f"Settings\n{settings}\n\n"
        f"Published\n  {published.script} {' '.join(published.flags.split())}\n  {published.metric}: {results}\n\n"
        f"What differs\n{differences}"
    )


def _table_of_results(results: Iterable[RunResult]) -> str:
    rows = [("task", "model", "strategy", "precision", "metric", "before (95 %)", "after (95 %)", "published", "run")]
    rows += [
        (
            result.task,
            result.model.rpartition("/")[2],
            result.strategy,
            result.precision,
            result.metric,
            str(result.before or "-"),
            str(result.after or "-"),
            "-" if result.published is None else f"{result.published:.4f}",
            result.run,
        )
        for result in results
    ]
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
