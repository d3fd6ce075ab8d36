"""What a run leaves behind, and where.

::

    run.json            configuration, versions, the data's digest, results
    history.jsonl       loss, learning rate and gradient norm as they were logged
    logs/               the same for TensorBoard
    eval_before.json    every answer before training
    eval_after.json     and after
    model/              the trained model (or adapters) and its processor
"""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from ..schema.dataset import Dataset
from ..schema.errors import OutputError
from ..schema.folder import LocalFolder
from .config import TrainConfig

__all__ = ["RunFolder", "versions"]

_RECORDED = ("torch", "transformers", "accelerate", "peft", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Name the version of everything that shapes a result."""
    found = {"phi3v-data": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


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
            what = "a finished or broken-off run" if (self.path / "run.json").exists() else f"other files ({held.name})"
            raise OutputError(f"{self.path}: holds {what}; remove it or choose another --out")

    def describe(self, config: TrainConfig, dataset: Dataset, result: dict[str, Any] | None = None) -> None:
        """Write run.json; once when the run starts, and again with its result."""
        description = {
            "config": config,
            "data": {"address": dataset.folder.address, "files": dataset.files, "sha256": dataset.digest()},
            "versions": versions(),
            "result": result,
        }
        self.write("run.json", msgspec.json.format(msgspec.json.encode(description), indent=2) + b"\n")

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        self._folder.write(name, data)
