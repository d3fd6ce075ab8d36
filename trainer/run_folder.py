"""What a run leaves behind, and where.

::

    run.json            configuration, versions, the data's digest, results
    history.jsonl       loss, learning rate and gradient norm as they were logged
    throughput.jsonl    images, tokens and operations a second, at the same steps
    logs/               the same for TensorBoard
    bad_samples.jsonl   what could not be read while training, if anything
    trace/              the ids of each step, a file a rank; with data.trace
    checkpoint-<step>/  what a run resumes from; see `checkpoints`
    eval_before.json    every answer before training
    eval_after.json     and after
    evaluations.jsonl   metrics while training, with evaluation.every
    evaluations/        every answer of each of them, a file a step
    best/               the model with the best of them
    model/              the trained model (or adapters) and its processor
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from ..schema.errors import OutputError
from ..storage import LocalFolder
from .config import TrainConfig
from .data.sources import Source

LAST_RESULT = "accuracy_after"  # of what run.json says, this is written last
_RECORDED = ("torch", "transformers", "peft", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Name the version of everything that shapes a result."""
    found = {"phi3v-data": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Described(msgspec.Struct):
    """What run.json says of a run.

    Args:
        config: every setting.
        data: a row a dataset.
        result: of a run whose model is saved; None before. The accuracies come last, when it is evaluated.
    """

    config: dict[str, Any]
    data: list[dict[str, Any]]
    result: dict[str, Any] | None = None

    @property
    def trained(self) -> bool:
        """Whether all steps are done and the model is saved."""
        return self.result is not None

    @property
    def finished(self) -> bool:
        """Whether the saved model has been evaluated, too, or was not to be."""
        return LAST_RESULT in (self.result or {})


class RunFolder:
    """One run's folder.

    Args:
        path: where it lies; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = LocalFolder(path)

    @property
    def model(self) -> Path:
        """Where the trained model is saved."""
        return self.path / "model"

    @property
    def logs(self) -> Path:
        """Where TensorBoard finds its events."""
        return self.path / "logs"

    @property
    def history(self) -> Path:
        """Where every logged line is kept."""
        return self.path / "history.jsonl"

    @property
    def throughput(self) -> Path:
        """Where how fast it went is kept, line by line as the history."""
        return self.path / "throughput.jsonl"

    @property
    def evaluations(self) -> Path:
        """Where the metrics of evaluations while training are kept."""
        return self.path / "evaluations.jsonl"

    def answers(self, step: int) -> Path:
        """Return where the answers of the evaluation after a step are kept."""
        return self.path / "evaluations" / f"step-{step}.json"

    @property
    def best(self) -> Path:
        """Where the model with the best primary metric is kept."""
        return self.path / "best"

    @property
    def bad_samples(self) -> Path:
        """Where the samples are named that could not be read."""
        return self.path / "bad_samples.jsonl"

    def trace(self, rank: int) -> Path:
        """Return where one rank writes down what it was trained on."""
        return self.path / "trace" / f"rank-{rank}.jsonl"

    def claim(self) -> None:
        """Make the folder; it must be new or empty.

        Raises:
            OutputError: it holds something, or cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = next(self.path.iterdir(), None)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from error
        if held is not None:
            what = "a finished or unfinished run" if (self.path / "run.json").exists() else f"other files ({held.name})"
            raise OutputError(f"{self.path}: holds {what}; remove it or choose another --out")

    def describe(self, config: TrainConfig, data: Sequence[Source], result: dict[str, Any] | None = None) -> None:
        """Write run.json; when the run starts, when its model is saved, and when that is evaluated."""
        rows = [
            {
                "address": source.dataset.folder.address,
                "files": source.dataset.files,
                "shards": source.dataset.shards,
                "sha256": source.dataset.digest(),
                "weight": None if source.weight is None else float(source.weight),
            }
            for source in data
        ]
        description = {"config": config, "data": rows, "versions": versions(), "result": result}
        self.write("run.json", msgspec.json.format(msgspec.json.encode(description), indent=2) + b"\n")

    def described(self) -> Described | None:
        """Return what run.json says; None where this is no run's folder.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            return msgspec.json.decode((self.path / "run.json").read_bytes(), type=Described)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OutputError(f"{self.path}/run.json: cannot be read ({error}); choose another --out") from error

    def result(self) -> dict[str, Any]:
        """Return what run.json says of the result; empty before there is one."""
        described = self.described()
        return (described.result if described else None) or {}

    def rewind(self, step: int) -> None:
        """Forget what was written down of the steps after a checkpoint: they are taken again.

        Args:
            step: optimizer steps that are done.
        """
        # The history counts the steps done, the others name the step they are about, from 0.
        for path in (self.history, self.throughput, self.evaluations):
            _keep(path, lambda row: row["step"] <= step)
        for path in (self.bad_samples, *self.path.glob("trace/*.jsonl")):
            _keep(path, lambda row: row["step"] < step)
        for path in self.path.glob("evaluations/step-*.json"):
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()

    def replace_model(self, folder: Path) -> None:
        """Make a folder the run's model; one that is there goes."""
        shutil.rmtree(self.model, ignore_errors=True)
        folder.rename(self.model)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        self._folder.write(name, data)


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a JSON object to a file of one a line."""
    with path.open("ab") as stream:
        stream.write(msgspec.json.encode(row) + b"\n")


def _keep(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        # A run that was killed may leave half a line behind.
        with contextlib.suppress(msgspec.DecodeError):
            if wanted(msgspec.json.decode(line)):
                kept.append(line)
    LocalFolder(path.parent).write(path.name, b"".join(kept))
