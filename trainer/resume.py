"""Whether a run begins, resumes, or is finished already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..schema.errors import ModelFolderError, OutputError
from .checkpoints import find_checkpoint, verify_checkpoint
from .config import TrainConfig
from .run_folder import RunFolder

# What may change when a run resumes: nothing of it changes the trained model but by rounding.
_MAY_CHANGE = (
    "accumulate",
    "micro_batch_tokens",
    "micro_batch_crops",
    "backend",
    "log_every",
    "track",
    "profile",
    "save_every",
    "save_minutes",
    "keep_checkpoints",
    "model.attention",
    "model.gradient_checkpointing",
    "data.workers",
    "data.bad_samples_in_a_row",
    "data.cache_folder",
    "data.cache_gb",
    "data.trace",
    "evaluation.",
)


class ResumePoint(NamedTuple):
    """Where a run begins or resumes.

    Args:
        checkpoint: what it resumes from; None to begin at step 0.
        trained: whether all steps are done and the model is saved.
        finished: whether there is nothing left to do.
        again: whether the folder is this run's own from an earlier try.
    """

    checkpoint: Path | None = None
    trained: bool = False
    finished: bool = False
    again: bool = False


def find_resume_point(folder: RunFolder, config: TrainConfig, resume: str) -> ResumePoint:
    """Decide where a run begins or resumes, and claim its folder where it is new.

    Args:
        folder: the run's.
        config: the run's.
        resume: `auto` resumes what the folder holds if it is the same run; `never` takes only an empty folder;
            else the path of a checkpoint, or of a run whose last one is meant.

    Raises:
        OutputError: the folder holds another run, or other files.
        ModelFolderError: there is no complete checkpoint at the path.
    """
    described = None if resume == "never" else folder.described()
    if described is None:
        folder.claim()
    elif different := sorted(_differences(described.config, msgspec.to_builtins(config))):
        then, now = (_setting(tree, different[0]) for tree in (described.config, msgspec.to_builtins(config)))
        more = f", and {len(different) - 1} more" if len(different) > 1 else ""
        what = f"a run with other settings ({different[0]} is {then} there, {now} here{more})"
        raise OutputError(f"{folder.path}: holds {what}; choose another --out, or remove it")
    if resume not in ("auto", "never"):
        checkpoint = find_checkpoint(Path(resume))
        if checkpoint is None:
            raise ModelFolderError(
                f"--resume {resume}: no complete checkpoint there; expected a run, or its checkpoint-<step> folder"
            )
        verify_checkpoint(checkpoint)
        return ResumePoint(checkpoint, again=described is not None)
    if described is None:
        return ResumePoint()
    if described.trained:
        return ResumePoint(trained=True, finished=described.finished, again=True)
    checkpoint = find_checkpoint(folder.path)
    if checkpoint is not None:
        verify_checkpoint(checkpoint)
    return ResumePoint(checkpoint, again=True)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    flat_then, flat_now = dict(_flat(then)), dict(_flat(now))
    for name in flat_then.keys() | flat_now.keys():
        if flat_then.get(name) != flat_now.get(name) and not name.startswith(_MAY_CHANGE):
            yield name


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _setting(tree: dict[str, Any], name: str) -> Any:
    return dict(_flat(tree)).get(name)
