"""Checkpoints of a run: what a run goes on from, wherever and however it ended.

A checkpoint is a folder `checkpoint-<step>` in the run's own: the model (or its adapters) and processor, optimizer,
learning rate and random states as transformers' Trainer saves them, and::

    data_state.json     where the data is: the step and what the order follows from, under 1 KB
    complete.json       the size of every file, written last; without it, or if it is not so, the checkpoint is torn
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec

from ..schema.errors import ModelFolderError, UsageError
from ..storage import LocalFolder
from .data.bad_samples import BadSamples

__all__ = ["DataState", "complete_checkpoint", "keep_newest", "last_checkpoint", "read_state"]

_STATE = "data_state.json"
_COMPLETE = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")


class DataState(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the data a run is. The order follows from all but `step` and `bad_samples`.

    Args:
        step: optimizer steps that are done.
        seed: of the order.
        batch_size: samples in a step.
        data: SHA-256 of what is trained on, in hex.
        weights: of the datasets; null where they have none.
        bad_samples: what could not be read so far.
    """

    step: int
    seed: int
    batch_size: int
    data: str
    weights: list[float | None]
    bad_samples: BadSamples

    def check(self, now: DataState) -> None:
        """Make sure that a run with this state can go on from here.

        Raises:
            UsageError: its order would be another; says what differs.
        """
        names = {
            "seed": "--seed",
            "batch_size": "--batch-size",
            "data": "the data",
            "weights": "the datasets' weighting",
        }
        for field, called in names.items():
            then, given = getattr(self, field), getattr(now, field)
            if then != given:
                what = "is not what it was" if field == "data" else f"was {then}, and is {given}"
                raise UsageError(f"cannot resume: {called} {what}, so the order would be another; start a new run")


def complete_checkpoint(folder: Path, state: DataState) -> None:
    """Add what the data needs to a checkpoint, and declare it complete."""
    here = LocalFolder(folder)
    here.write(_STATE, msgspec.json.encode(state))
    here.write(_COMPLETE, msgspec.json.encode({entry.name: entry.size for entry in here.files()}))


def keep_newest(run: Path, count: int) -> None:
    """Remove a run's checkpoints, torn ones too, but for the newest few complete ones."""
    kept = [folder for folder in _checkpoints(run) if _is_complete(folder)][:count]
    for folder in _checkpoints(run):
        if folder not in kept:
            # First of all it is declared torn.
            (folder / _COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(folder)


def last_checkpoint(path: Path) -> Path | None:
    """Return the newest complete checkpoint of a run, or the checkpoint itself; None where there is none."""
    if _NAME.fullmatch(path.name):
        return path if _is_complete(path) else None
    return next((folder for folder in _checkpoints(path) if _is_complete(folder)), None)


def read_state(checkpoint: Path) -> DataState:
    """Return where in the data a checkpoint was made.

    Raises:
        ModelFolderError: it cannot be read.
    """
    try:
        return msgspec.json.decode((checkpoint / _STATE).read_bytes(), type=DataState)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelFolderError(f"{checkpoint}/{_STATE}: cannot be read ({error}); use an earlier checkpoint") from error


def _checkpoints(run: Path) -> list[Path]:
    """Return the folders of a run's checkpoints, the newest first."""
    found = {int(match[1]): path for path in run.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))}
    return [found[step] for step in sorted(found, reverse=True)]


def _is_complete(folder: Path) -> bool:
    try:
        sizes = msgspec.json.decode((folder / _COMPLETE).read_bytes(), type=dict[str, int])
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, msgspec.DecodeError):
        return False
