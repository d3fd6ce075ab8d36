"""Checkpoints of a run: what it resumes from, wherever and however it ended.

A checkpoint is a folder `checkpoint-<step>` in the run's own::

    model/                the model, or its adapters, and the processor, as a run saves them at its end
    state/                trained weights and optimizer states, in parts; see `backends.tensor_files`
    random.safetensors    random states, one a process
    training_state.json   the rest of the optimizer's state, and how the step was cut
    data_state.json       where the data is: the step and what the order follows from, under 1 KB
    complete.json         size and SHA-256 of every file, written last; without it the checkpoint is torn
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..schema.errors import ModelFolderError, UsageError
from ..storage import LocalFolder
from ..storage.outage import one_line
from .backends.base import OptimizerProgress
from .data.bad_samples import BadSamples

_DATA, _TRAINING, _COMPLETE = "data_state.json", "training_state.json", "complete.json"
# What a damaged JSON file raises.
_DAMAGE = (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NAME = re.compile(r"checkpoint-(\d{1,15})")

State = TypeVar("State")


class DataState(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the data a run is. The order follows from all but `step` and `bad_samples`.

    Args:
        step: optimizer steps that are done.
        seed: of the order.
        batch_size: samples in a step.
        shards_per_block: shards that are mixed with one another; null where no data is in shards.
        data: SHA-256 of what is trained on, in hex.
        weights: of the datasets; null where they have none.
        bad_samples: what could not be read so far.
    """

    step: int
    seed: int
    batch_size: int
    shards_per_block: int | None
    data: str
    weights: list[float | None]
    bad_samples: BadSamples

    def check(self, now: DataState) -> None:
        """Make sure that a run with the state `now` can resume from here.

        Raises:
            UsageError: its order would be another; says what differs.
        """
        names = {
            "seed": "--seed",
            "batch_size": "--batch-size",
            "shards_per_block": "data.shards_per_block",
            "data": "the data",
            "weights": "the datasets' weighting",
        }
        for field, called in names.items():
            then, given = getattr(self, field), getattr(now, field)
            if then != given:
                what = "is not what it was" if field == "data" else f"was {then}, and is {given}"
                raise UsageError(f"cannot resume: {called} {what}, so the order would be another; start a new run")


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """What a run resumes from beside tensors.

    Args:
        optimizer: updates made, and the state of the loss scaler.
        budget_tokens: tokens in a micro-batch, as `auto` chose them; null where they were given.
    """

    optimizer: OptimizerProgress
    budget_tokens: int | None


def checkpoint_path(run: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return run / f"checkpoint-{step}"


def complete_checkpoint(folder: Path, data: DataState, training: TrainingState) -> None:
    """Add the states to a checkpoint, and declare it complete."""
    here = LocalFolder(folder)
    here.write(_DATA, msgspec.json.encode(data))
    here.write(_TRAINING, msgspec.json.encode(training))
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    hashes = {name: _Held(here.size(name), here.sha256(name)) for name in names}
    here.write(_COMPLETE, msgspec.json.encode(hashes))


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, torn or not, if there is one."""
    # First of all it is declared torn.
    (folder / _COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def keep_newest(run: Path, count: int) -> None:
    """Remove a run's checkpoints, torn ones too, but for the newest few complete ones."""
    kept = [folder for folder in _checkpoints(run) if _is_complete(folder)][:count]
    for folder in _checkpoints(run):
        if folder not in kept:
            remove_checkpoint(folder)


def find_checkpoint(path: Path) -> Path | None:
    """Return the newest complete checkpoint of a run, or the checkpoint itself; None where there is none."""
    if _NAME.fullmatch(path.name):
        return path if _is_complete(path) else None
    return next((folder for folder in _checkpoints(path) if _is_complete(folder)), None)


def verify_checkpoint(folder: Path) -> None:
    """Compare every file of a complete checkpoint with its hash.

    Raises:
        ModelFolderError: a file was changed or damaged; names it.
    """
    here = LocalFolder(folder)
    for name, held in _held(folder).items():
        try:
            is_same = here.sha256(name) == held.sha256
        except OSError as error:
            raise ModelFolderError(
                f"{folder}/{name}: cannot be read ({one_line(error)}); use an earlier checkpoint"
            ) from error
        if not is_same:
            raise ModelFolderError(f"{folder}/{name}: not what was saved (its hash differs); use an earlier checkpoint")


def read_data_state(checkpoint: Path) -> DataState:
    """Return where in the data a checkpoint was made.

    Raises:
        ModelFolderError: it cannot be read.
    """
    return _read(checkpoint / _DATA, DataState)


def read_training_state(checkpoint: Path) -> TrainingState:
    """Return what a checkpoint holds beside tensors and the state of the data.

    Raises:
        ModelFolderError: it cannot be read.
    """
    return _read(checkpoint / _TRAINING, TrainingState)


class _Held(msgspec.Struct, frozen=True):
    size: int
    sha256: str


def _read(path: Path, kind: type[State]) -> State:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except _DAMAGE as error:
        raise ModelFolderError(f"{path}: cannot be read ({one_line(error)}); use an earlier checkpoint") from error


def _checkpoints(run: Path) -> list[Path]:
    """Return the folders of a run's checkpoints, the newest first."""
    found = {int(match[1]): path for path in run.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))}
    return [found[step] for step in sorted(found, reverse=True)]


def _held(folder: Path) -> dict[str, _Held]:
    held: dict[str, Any] = msgspec.json.decode((folder / _COMPLETE).read_bytes(), type=dict[str, _Held])
    return held


def _is_complete(folder: Path) -> bool:
    here = LocalFolder(folder)
    try:
        held = _held(folder)
        return {_DATA, _TRAINING} <= held.keys() and all(here.size(name) == file.size for name, file in held.items())
    except _DAMAGE:
        return False
