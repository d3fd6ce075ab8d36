"""Finished runs beside the published results: the recipe's tables, made anew."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..schema.errors import DatasetError
from .evaluation.result import Evaluation, Metric, read_evaluation
from .recipes import Recipe, load_recipe, recipe_names


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the table.

    Args:
        run: its folder.
        task: what it was trained for.
        recipe: the recipe it was started from.
        model: what was trained.
        strategy: which parameters were trained.
        precision: the arithmetic.
        metric: the recipe's metric.
        before: the metric before training; null where there was no evaluation.
        after: and after.
        published: the published result as a share of one; null where that precision was not published, or the run
            trained another model than the recipe's.
    """

    run: str
    task: str
    recipe: str
    model: str
    strategy: str
    precision: str
    metric: str
    before: Metric | None
    after: Metric | None
    published: float | None


class _Model(msgspec.Struct):
    name: str
    precision: str


class _Config(msgspec.Struct):
    model: _Model
    strategy: str
    recipe: str | None = None


class _Run(msgspec.Struct):
    config: _Config


def collect_results(root: Path) -> list[RunResult]:
    """Find every run below a folder that was started from a recipe, in the order of the published tables.

    Args:
        root: a folder of runs, or one run.

    Raises:
        DatasetError: there is none, or a file of one is damaged.
    """
    found = [result for path in sorted(root.rglob("run.json")) if (result := _result_of(path.parent))]
    if not found:
        raise DatasetError(f"{root}: no run that was started by `phi3v-data train --recipe NAME`")
    order = recipe_names()
    return sorted(found, key=lambda result: (order.index(result.recipe), result.precision, result.run))


def _result_of(run: Path) -> RunResult | None:
    try:
        config = msgspec.json.decode((run / "run.json").read_bytes(), type=_Run).config
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{run / 'run.json'}: cannot be read ({error})") from error
    if config.recipe not in recipe_names():
        return None
    recipe, model = load_recipe(str(config.recipe)), config.model
    published = recipe.published.results.get(model.precision) if recipe.is_for(model.name) else None
    return RunResult(
        run=str(run),
        task=recipe.task,
        recipe=recipe.name,
        model=model.name,
        strategy=config.strategy,
        precision=model.precision,
        metric=recipe.published.metric,
        before=_metric(run / "eval_before.json", recipe),
        after=_metric(run / "eval_after.json", recipe),
        published=None if published is None else round(published / 100, 6),
    )


def _metric(path: Path, recipe: Recipe) -> Metric | None:
    evaluation: Evaluation | None = read_evaluation(path) if path.exists() else None
    return evaluation.metrics.get(recipe.published.metric) if evaluation else None
