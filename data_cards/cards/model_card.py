"""The card of a model that a run trained."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..run_files import EvaluationFile, RunFiles
from .sections import Section
from .template import rendered_sections

_MOST_ROWS = 12
# Names of the hub for what is computed here; others keep their own.
_METRICS = {"accuracy": "accuracy", "anls": "anls", "roc_auc": "roc_auc"}


def model_front_matter(run: RunFiles) -> dict[str, Any]:
    """Return the front matter: base model, libraries, and the results after training.

    Args:
        run: what it left behind.
    """
    base = str(run.config.get("model.name", ""))
    adapters = run.config.get("strategy") in ("lora", "qlora")
    named = "/" in base and not base.startswith((".", "/"))
    data = ModelCardData(
        base_model=base if named else None,
        library_name="peft" if adapters else "transformers",
        pipeline_tag="image-text-to-text",
        tags=["phi3v-data", "phi-3-vision"],
        model_name=run.name,
        eval_results=_results(run) or None,
        # The weights carry the licence of the base model; the hub shows none where it is not known.
        license="mit" if base.startswith("microsoft/Phi-3") else None,
    )
    found: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]  # untyped in huggingface_hub
    return {key: value for key, value in found.items() if value is not None}


def model_sections(run: RunFiles) -> list[Section]:
    """Return the card's sections: data, settings, curve, metrics with intervals, and what was not tried.

    Args:
        run: what it left behind.
    """
    metrics = list(dict.fromkeys(name for found in run.evaluations.values() for name in found.results))
    evaluated = sorted({found.split for found in run.evaluations.values()})
    known = {split for data in run.data for split in data.splits}
    return rendered_sections(
        "model.md.j2",
        run=run,
        metrics=metrics,
        rows=[_row(name, found, metrics) for name, found in run.evaluations.items()],
        losses=_few(run.rows.get("loss", [])),
        evaluated=evaluated,
        untried=sorted(known - set(evaluated) - set(run.trained_splits)),
    )


def _results(run: RunFiles) -> list[EvalResult]:
    names = [name for name in run.evaluations if name != "before"]
    return [
        EvalResult(
            task_type="image-text-to-text",
            dataset_type=_dataset(run),
            dataset_name=_dataset(run),
            dataset_split=run.evaluations[name].split,
            metric_type=_METRICS.get(metric, metric),
            metric_value=round(found.value, 4),
        )
        for name in names
        for metric, found in run.evaluations[name].results.items()
    ]


def _dataset(run: RunFiles) -> str:
    return run.data[0].address.rstrip("/").rpartition("/")[2] if run.data else "dataset"


def _row(name: str, found: EvaluationFile, metrics: list[str]) -> list[str]:
    when = {"before": "before training", "after": "after training"}.get(name, "later")
    cells = []
    for metric in metrics:
        value = found.results.get(metric)
        if value is None:
            cells.append("")
            continue
        interval = "" if value.low is None or value.high is None else f" ({value.low:.3f}–{value.high:.3f})"
        cells.append(f"{value.value:.3f}{interval}")
    return [when, f"`{found.split}`", *cells, f"{found.total:,}"]


def _few(points: list[tuple[float, float]]) -> list[list[str]]:
    """Return about a dozen points of a curve, the first and the last among them."""
    step = max(1, -(-len(points) // _MOST_ROWS))
    chosen = [*points[:-1:step], points[-1]] if points else []
    return [[f"{x:g}", f"{y:.4f}"] for x, y in chosen]
