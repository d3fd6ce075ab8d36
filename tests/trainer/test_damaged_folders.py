"""What is damaged in a run's folder, or made by a stranger, is one error that names it; found by fuzzing."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

from phi3v_data.schema.errors import ModelFolderError, OutputError
from phi3v_data.trainer.backends.base import OptimizerProgress
from phi3v_data.trainer.backends.tensor_files import load_tensors, save_tensors
from phi3v_data.trainer.checkpoints import (
    DataState,
    TrainingState,
    complete_checkpoint,
    find_checkpoint,
    read_data_state,
    read_training_state,
    verify_checkpoint,
)
from phi3v_data.trainer.data.bad_samples import BadSamples
from phi3v_data.trainer.phi3v.loading import load_processor
from phi3v_data.trainer.phi3v.tiny import tiny_processor
from phi3v_data.trainer.processes import Processes
from phi3v_data.trainer.run_folder import RunFolder

NOT_JSON = [b"", b"{", b"\xff{}", b"[" * 100_000, b"7"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-3"
    folder.mkdir()
    data = DataState(
        step=3, seed=0, batch_size=1, shards_per_block=None, data="", weights=[None], bad_samples=BadSamples()
    )
    complete_checkpoint(folder, data, TrainingState(optimizer=OptimizerProgress(3, {}), budget_tokens=None))
    assert find_checkpoint(tmp_path) == folder
    return folder


@pytest.mark.parametrize("damage", [*NOT_JSON, b"{}"])
def test_a_checkpoint_whose_list_of_files_is_damaged_is_not_complete(checkpoint: Path, damage: bytes) -> None:
    (checkpoint / "complete.json").write_bytes(damage)
    assert find_checkpoint(checkpoint.parent) is None


@pytest.mark.parametrize("name", ["../../run.json", "/dev/zero"])
def test_a_checkpoint_that_names_files_outside_of_it_is_not_complete(checkpoint: Path, name: str) -> None:
    complete = checkpoint / "complete.json"
    held = json.loads(complete.read_text())
    held[name] = {"size": 0, "sha256": ""}
    complete.write_text(json.dumps(held))
    assert find_checkpoint(checkpoint.parent) is None


def test_a_file_of_a_checkpoint_that_is_a_folder_is_one_error(checkpoint: Path) -> None:
    (checkpoint / "data_state.json").unlink()
    (checkpoint / "data_state.json").mkdir()
    with pytest.raises(ModelFolderError, match=r"data_state.json: cannot be read \(Is a directory.*use an earlier"):
        verify_checkpoint(checkpoint)


@pytest.mark.parametrize("damage", NOT_JSON)
def test_a_damaged_state_is_one_error(checkpoint: Path, damage: bytes) -> None:
    for name in ("data_state.json", "training_state.json"):
        (checkpoint / name).write_bytes(damage)
    for read in (read_data_state, read_training_state):
        with pytest.raises(ModelFolderError, match=r"_state.json: cannot be read \(.*; use an earlier") as caught:
            read(checkpoint)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", NOT_JSON)
def test_a_damaged_description_of_a_run_is_one_error(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "run.json").write_bytes(damage)
    with pytest.raises(OutputError, match=r"run.json: cannot be read .*; choose another --out"):
        RunFolder(tmp_path).described()


def test_whatever_byte_of_a_table_of_contents_is_damaged_the_answer_is_one_error(tmp_path: Path) -> None:
    tensors = {"one": torch.ones(3), "two": torch.zeros(2, 2)}
    save_tensors(tensors, tmp_path, Processes.init()).result()
    contents = tmp_path / ".metadata"
    sound, draw, refused = contents.read_bytes(), Random(0), list[str]()
    for _ in range(300):
        damaged = bytearray(sound)
        damaged[draw.randrange(len(sound))] = draw.randrange(256)
        contents.write_bytes(damaged)
        try:
            load_tensors(tensors, tmp_path, Processes.init())
        except ModelFolderError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize("name", ["preprocessor_config.json", "tokenizer_config.json", "chat_template.jinja"])
@pytest.mark.parametrize("damage", [b"\xff", b"{", b"[]", b'{"num_img_tokens": 1e999}'])
def test_damaged_settings_of_a_processor_are_one_error_or_none(tmp_path: Path, name: str, damage: bytes) -> None:
    tiny_processor().save_pretrained(tmp_path)
    (tmp_path / name).write_bytes(damage)
    said = str(tmp_path)
    try:
        load_processor(tmp_path)
    except ModelFolderError as error:
        said = str(error)
    assert said.startswith(str(tmp_path))
    assert "\n" not in said
    assert damage != b"\xff" or "cannot be read" in said
