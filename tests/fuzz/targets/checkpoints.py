"""What a run leaves behind and others read: run.json, checkpoints of a whole model and of an adapter, and the models.

A checkpoint is protected by the hashes in its complete.json. Here it is read once as it is, and once with hashes that
agree with the damage, as in a folder from a stranger.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import Phi3VDataError
from phi3v_data.trainer.backends import Backend, make_backend
from phi3v_data.trainer.checkpoints import (
    find_checkpoint,
    read_data_state,
    read_training_state,
    verify_checkpoint,
)
from phi3v_data.trainer.config import TrainConfig, make_config
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.model_folder import load_for_evaluation, load_trainable
from phi3v_data.trainer.processes import Processes
from phi3v_data.trainer.quiet import quiet_libraries
from phi3v_data.trainer.resume import find_resume_point
from phi3v_data.trainer.run_folder import RunFolder
from phi3v_data.trainer.saver import restore_random_states
from phi3v_data.trainer.strategies.groups import parameter_groups
from phi3v_data.trainer.train import train
from tests.fuzz.targets.datasets import SPLIT, sound

STEP = 1
STRATEGIES = ("full", "lora")


def config(strategy: str) -> TrainConfig:
    return make_config(
        {
            "model.name": "tiny",
            "model.precision": "fp32",
            "model.gradient_checkpointing": 0,
            "strategy": strategy,
            "lora.rank": 2,
            "batch_size": 3,
            "accumulate": 1,
            "epochs": 1,
            "save_every": STEP,
            "track": "none",
            "data.train_split": SPLIT,
            "evaluation.enabled": False,
        }
    )


@cache
def runs() -> Path:
    """A folder with a run of each strategy, its checkpoint of the first of two steps, and its model."""
    quiet_libraries()
    root = Path(tempfile.mkdtemp(prefix="fuzz-runs-"))
    for strategy in STRATEGIES:
        train(config(strategy), [Source(open_dataset(str(sound())))], root / strategy)
    return root


def corpus(folder: Path) -> None:
    for strategy in STRATEGIES:
        run = runs() / strategy
        for path in (run / "run.json", *(run / f"checkpoint-{STEP}").rglob("*")):
            if path.is_file():
                # The name tells which file of the run is damaged.
                shutil.copyfile(path, folder / str(path.relative_to(runs())).replace("/", "@"))


@cache
def backend(strategy: str) -> Backend:
    """A model of the strategy with its optimizer, to be filled from checkpoints."""
    settings = config(strategy)
    made = make_backend(settings, Processes.init())
    model = load_trainable(settings, torch.device("cpu"))
    made.prepare(model, parameter_groups(model, settings))
    return made


def check(file: Path) -> None:
    name = file.name.replace("@", "/")
    strategy = name.partition("/")[0]
    refused: list[Phi3VDataError] = []
    with tempfile.TemporaryDirectory() as work:
        run, damaged = Path(work) / strategy, Path(work) / name
        shutil.copytree(runs() / strategy, run, copy_function=os.link)
        damaged.unlink()
        shutil.copyfile(file, damaged)
        checkpoint = run / f"checkpoint-{STEP}"
        for read in (resume, agree_and_restore, evaluate):
            try:
                read(checkpoint, strategy, damaged)
            except Phi3VDataError as error:
                refused.append(error)
    if refused:
        # The frame looks at the message of the one that is raised.
        raise max(refused, key=lambda error: ("\n" in str(error), len(str(error))))


def resume(checkpoint: Path, strategy: str, damaged: Path) -> None:
    """Do what `--resume auto` does first: the damage is found, or the checkpoint is passed over."""
    described = json.loads((runs() / strategy / "run.json").read_bytes())
    if damaged.name != "run.json":
        # A finished run has nothing to resume.
        (checkpoint.parent / "run.json").unlink()
        (checkpoint.parent / "run.json").write_text(json.dumps({**described, "result": None}))
    point = find_resume_point(RunFolder(checkpoint.parent), config(strategy), "auto")
    assert point.checkpoint is None or damaged.name in ("run.json", "complete.json") or is_sound(damaged, checkpoint)


def is_sound(damaged: Path, checkpoint: Path) -> bool:
    """Tell whether a mutation left a file as it was."""
    strategy = checkpoint.parent.name
    return damaged.read_bytes() == (runs() / strategy / damaged.relative_to(checkpoint.parent)).read_bytes()


def agree_and_restore(checkpoint: Path, strategy: str, damaged: Path) -> None:
    """Take everything from a checkpoint whose hashes are those of its files."""
    if damaged.name not in ("run.json", "complete.json"):
        complete = checkpoint / "complete.json"
        held = json.loads(complete.read_bytes())
        name = damaged.relative_to(checkpoint).as_posix()
        held[name] = {"size": damaged.stat().st_size, "sha256": hashlib.sha256(damaged.read_bytes()).hexdigest()}
        complete.unlink()
        complete.write_text(json.dumps(held))
    found = find_checkpoint(checkpoint)
    if found is None:
        return
    verify_checkpoint(found)
    read_data_state(found).check(read_data_state(runs() / strategy / checkpoint.name))
    training = read_training_state(found)
    backend(strategy).load_state(found / "state", training.optimizer)
    restore_random_states(found, 0)


def evaluate(checkpoint: Path, strategy: str, damaged: Path) -> None:
    """Load the model of a checkpoint, and go on from its adapter."""
    load_for_evaluation(make_config({"model.name": str(checkpoint), "model.precision": "fp32"}), torch.device("cpu"))
    if strategy == "lora":
        adapter = {"model.name": "tiny", "strategy": "lora", "model.init_adapter": str(checkpoint)}
        load_trainable(make_config(adapter), torch.device("cpu"))
