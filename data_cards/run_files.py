"""The files of a run's folder, as far as cards and reports read them; see docs/training.md for what they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..schema.errors import InputError

_RUN = "run.json"
_ROWS = ("history.jsonl", "throughput.jsonl")


class Answer(msgspec.Struct, frozen=True):
    """What a model answers to one turn of a record; `correct` is null where there is nothing to compare with."""

    id: str
    turn: int
    expected: str
    given: str
    correct: bool | None = None


class Metric(msgspec.Struct, frozen=True):
    """A number, the answers or groups it is over, and its 95 % interval where there is one."""

    value: float
    count: int = 0
    low: float | None = None
    high: float | None = None


class EvaluationFile(msgspec.Struct, frozen=True):
    """One `eval_<name>.json`."""

    split: str
    answers: list[Answer]
    metrics: dict[str, Metric] = {}
    correct: int = 0
    total: int = 0

    @property
    def results(self) -> dict[str, Metric]:
        """Every metric by name; of a file without any, the accuracy."""
        counted = {"accuracy": Metric(self.correct / self.total, self.total)} if self.total else {}
        return self.metrics or counted


class RunData(msgspec.Struct, frozen=True):
    """A dataset of a run: its address, the digest of its records, and the files or shards of each split."""

    address: str
    sha256: str = ""
    files: dict[str, str] = {}
    shards: dict[str, list[str]] = {}

    @property
    def splits(self) -> list[str]:
        """Every split of it, sorted."""
        return sorted({*self.files, *self.shards})


class _RunFile(msgspec.Struct, frozen=True):
    config: dict[str, Any]
    data: list[RunData] = []
    versions: dict[str, str] = {}
    result: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunFiles:
    """What a run left behind.

    Args:
        path: its folder.
        name: what it is called in pages: the folder's name.
        config: every setting, by dotted name.
        data: addresses of its datasets, and the digest of each.
        versions: of what shapes a result.
        result: what run.json says of the end; {} before that.
        rows: every logged number, as (step, value) by name.
        evaluations: by name: `before`, `after`, or the split of an `eval_<split>.json`.
    """

    path: Path
    name: str
    config: dict[str, Any]
    data: list[RunData]
    versions: dict[str, str]
    result: dict[str, Any]
    rows: dict[str, list[tuple[float, float]]]
    evaluations: dict[str, EvaluationFile] = field(default_factory=dict)

    @property
    def trained_splits(self) -> list[str]:
        """What it was trained on: the split that was named, else `train`; of a dataset of one split, that one."""
        named = self.config.get("data.train_split") or "train"
        return list(dict.fromkeys(data.splits[0] if len(data.splits) == 1 else named for data in self.data))


def is_run(address: str) -> bool:
    """Tell whether an address is a run's folder."""
    return "://" not in address and (Path(address) / _RUN).is_file()


def read_run(address: str) -> RunFiles:
    """Read a run's folder; one that is not finished is read as far as it got.

    Raises:
        InputError: it is no run's folder, or a file of it is damaged.
    """
    path = Path(address)
    run: _RunFile = _decoded(path / _RUN, _RunFile)
    evaluations = {
        file.stem.removeprefix("eval_"): _decoded(file, EvaluationFile) for file in sorted(path.glob("eval_*.json"))
    }
    # Before, after, then what was evaluated later.
    order = {"before": 0, "after": 1}
    ordered = sorted(evaluations.items(), key=lambda item: (order.get(item[0], 2), item[0]))
    rows: dict[str, list[tuple[float, float]]] = {}
    for row in _rows(path):
        step = row.pop("step", None)
        for name, value in row.items():
            if isinstance(step, int | float) and isinstance(value, int | float) and not isinstance(value, bool):
                rows.setdefault(name, []).append((step, value))
    return RunFiles(
        path=path,
        name=path.resolve().name,
        config=dict(_flat(run.config)),
        data=run.data,
        versions=run.versions,
        result=run.result or {},
        rows=rows,
        evaluations=dict(ordered),
    )


def _decoded(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); expected a run's folder") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged ({error}); train or evaluate again") from error


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for name in _ROWS:
        with contextlib.suppress(FileNotFoundError):
            for line in (path / name).read_bytes().splitlines():
                # A run that was killed may leave half a line behind.
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    yield msgspec.json.decode(line, type=dict[str, Any])


def _flat(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
