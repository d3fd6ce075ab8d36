"""The report of one or more runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ...schema.errors import UsageError
from ...schema.progress import Progress, silent
from ...storage import open_folder
from ..run_files import RunFiles, read_run
from .data_files import write_data
from .pages import claim, write_pages
from .predictions import Asked, Column, asked, columns_of, confusion
from .questions import Questions
from .thumbnails import CELL, SPRITE, sprite

_CHUNK = 256
_MOST_POINTS = 400
_TABS = (
    ("", "Runs"),
    ("curves", "Curves"),
    ("predictions", "Predictions"),
    ("confusion", "Confusion"),
    ("settings", "Settings"),
)


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: the page to open, runs shown, questions asked of them."""

    page: str
    runs: int
    questions: int


def report_runs(
    addresses: Sequence[str],
    out: str,
    copy_images: bool | None = None,
    progress: Progress = silent,
) -> RunSummary:
    """Write a report of runs: curves, settings, and what they answer.

    Args:
        addresses: the runs' folders.
        out: the report's folder; new, empty, or an earlier report.
        copy_images: whether images are copied into the report; None: only where a page cannot reach them.
        progress: shows how many questions are written.

    Raises:
        InputError: one is no run's folder, or a file of it is damaged.
        OutputError: the folder holds something that is no report.
    """
    runs = [read_run(address) for address in addresses]
    if not runs:
        raise UsageError("no run was given; name its folder, such as runs/ucf101-lora")
    names = _names(runs)
    folder = open_folder(out)
    claim(folder, "runs")
    columns = columns_of(runs)
    rows = asked(columns)
    questions = Questions(runs, folder, out, copy_images)
    questions.look_up((row.split, row.id) for row in rows)
    progress("Writing questions", "questions", 0, len(rows))
    for first in range(0, len(rows), _CHUNK):
        chunk = rows[first : first + _CHUNK]
        shown = [(row, questions.question(row.split, row.id, row.turn)) for row in chunk]
        write_data(folder, f"predictions/{first // _CHUNK}", shown)
        for place in range(0, len(chunk), SPRITE):
            part = chunk[place : place + SPRITE]
            small = [questions.thumbnail(row.split, row.id, row.turn) for row in part]
            folder.write(f"data/sprites/{(first + place) // SPRITE}.webp", sprite(small))
        progress("Writing questions", "questions", first + len(chunk), len(rows))
    matrices = {str(place): confusion(column.evaluation) for place, column in enumerate(columns)}
    title = names[0] if len(names) == 1 else f"{len(names)} runs"
    summary = {
        "title": title,
        "runs": [_run(run, name) for run, name in zip(runs, names, strict=True)],
        "columns": [_column(column) for column in columns],
        "confusion": {place: matrix for place, matrix in matrices.items() if matrix is not None},
        "changes": _changes(columns, rows),
        "questions": len(rows),
        "data_missing": questions.missing and bool(rows),
        "chunk": _CHUNK,
        "sprite": SPRITE,
        "cell": CELL,
    }
    write_data(folder, "summary", summary)
    write_pages(folder, "runs", title, {"Runs": len(runs), "Questions": len(rows)}, _TABS)
    return RunSummary(page=f"{out.rstrip('/')}/index.html", runs=len(runs), questions=len(rows))


def _names(runs: Sequence[RunFiles]) -> list[str]:
    """Name runs by their folders; where two have one name, by the folder above, too."""
    counts = Counter(run.name for run in runs)
    return [run.name if counts[run.name] == 1 else "/".join(run.path.resolve().parts[-2:]) for run in runs]


def _run(run: RunFiles, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "path": str(run.path),
        "config": run.config,
        "versions": run.versions,
        "data": run.data,
        "result": run.result,
        "rows": {metric: _thinned(points) for metric, points in run.rows.items()},
        "finished": bool(run.result),
    }


def _column(column: Column) -> dict[str, Any]:
    found = column.evaluation
    wrong = sum(answer.correct is False for answer in found.answers)
    return {
        "run": column.run,
        "name": column.name,
        "split": found.split,
        "metrics": found.results,
        "correct": found.correct,
        "total": found.total,
        "wrong": wrong,
    }


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave points out evenly where there are more than a chart shows; the last one stays."""
    step = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:step], points[-1]] if points else []


def _changes(columns: Sequence[Column], rows: Sequence[Asked]) -> list[dict[str, int]]:
    """Count, for each run with answers before and after, what it learned and what it lost."""
    found = []
    for run in sorted({column.run for column in columns}):
        of_run = {column.name: place for place, column in enumerate(columns) if column.run == run}
        if not {"before", "after"} <= of_run.keys():
            continue
        pairs = [(row.answers[of_run["before"]], row.answers[of_run["after"]]) for row in rows]
        outcomes = Counter((before[1], after[1]) for before, after in pairs if before and after)
        found.append({"run": run, "learned": outcomes[False, True], "lost": outcomes[True, False]})
    return found
