"""What ends a run early, and what it leaves; and that the way a step is cut changes no gradient."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from colours import colour_records, write_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_runs import Killed, history, tiny_config

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import ModelFolderError, RunError, RunStopped, UsageError
from phi3v_data.schema.index import RecordIndex
from phi3v_data.trainer import resume, saver
from phi3v_data.trainer.backends.base import OptimizerProgress
from phi3v_data.trainer.backends.single import SingleProcess
from phi3v_data.trainer.checkpoints import complete_checkpoint, find_checkpoint
from phi3v_data.trainer.data.assign import Budget, assign_by_budget
from phi3v_data.trainer.data.collate import PackedCollator
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.data.training_data import TrainingData
from phi3v_data.trainer.model_folder import load_trainable, save_model
from phi3v_data.trainer.phi3v.tiny import tiny_processor
from phi3v_data.trainer.processes import Processes
from phi3v_data.trainer.train import train

pytestmark = pytest.mark.slow

RECORDS = 6
SETTINGS = {"evaluation.enabled": False, "batch_size": 3, "epochs": 3, "save_every": 2, "track": "none"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("data"), {"train": colour_records("train", RECORDS)})


@pytest.fixture(scope="module")
def saved(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and the checkpoint of its step 4."""
    run = tmp_path_factory.mktemp("saved") / "run"
    train(tiny_config(SETTINGS), [Source(data)], run)
    return run / "checkpoint-4"


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step_and_its_records(
    data: Dataset, tmp_path: Path
) -> None:
    config = tiny_config({**SETTINGS, "optimizer.lr": 1e30, "optimizer.warmup_steps": 0, "save_every": 1})
    with pytest.raises(
        RunError, match=r"step [23]: .*(loss is|not finite).*its records: train-\d, .*lower --lr"
    ) as ended:
        train(config, [Source(data)], tmp_path / "run")
    assert ended.value.exit_code == 1
    assert not (tmp_path / "run" / "model").exists()


def test_sigterm_saves_a_checkpoint_and_the_run_resumes_from_it(data: Dataset, tmp_path: Path) -> None:
    config = tiny_config({**SETTINGS, "save_every": 100})

    def terminate(line: str) -> None:
        if line.startswith("step 2/"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(RunStopped, match="after step 3; a checkpoint is saved: rerun to resume") as stopped:
        train(config, [Source(data)], tmp_path / "run", terminate)
    assert stopped.value.exit_code == 143
    assert find_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-3"
    train(config, [Source(data)], tmp_path / "run")
    train(config, [Source(data)], tmp_path / "whole")
    assert history(tmp_path / "run") == history(tmp_path / "whole")


def test_sigusr1_saves_a_checkpoint_and_the_run_goes_on(data: Dataset, tmp_path: Path) -> None:
    def ask(line: str) -> None:
        if line.startswith("step 2/"):
            os.kill(os.getpid(), signal.SIGUSR1)

    train(tiny_config({**SETTINGS, "save_every": 100}), [Source(data)], tmp_path / "run", ask)
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-3"]
    assert (tmp_path / "run" / "model" / "config.json").exists()


@pytest.mark.parametrize(("number", "stops"), [(signal.SIGUSR1, False), (signal.SIGTERM, True)])
def test_a_signal_while_processes_exchange_their_flags_is_obeyed_after_the_next_step(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, stops: bool
) -> None:
    exchange, exchanged = Processes.sum, []

    def interrupted(processes: Processes, values: Sequence[torch.Tensor | float]) -> list[float]:
        result = exchange(processes, values)
        exchanged.append(result)
        if len(exchanged) == 2:
            os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(Processes, "sum", interrupted)
    config = tiny_config({**SETTINGS, "save_every": 100})
    with pytest.raises(RunStopped, match="after step 3;") if stops else contextlib.nullcontext():
        train(config, [Source(data)], tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-3"]


def test_the_workers_of_a_run_end_with_it(data: Dataset, tmp_path: Path) -> None:
    before = {child.pid for child in multiprocessing.active_children()}
    gc.disable()  # it would end them, some time
    try:
        train(tiny_config({**SETTINGS, "data.workers": 1}), [Source(data)], tmp_path / "run")
        assert {child.pid for child in multiprocessing.active_children()} <= before
    finally:
        gc.enable()


def test_checkpoints_are_saved_by_the_clock_too(data: Dataset, tmp_path: Path) -> None:
    config = tiny_config({**SETTINGS, "save_every": 100, "save_minutes": 1e-9, "keep_checkpoints": 9})
    train(config, [Source(data)], tmp_path / "run")
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 5  # of 6 steps; the last is the model itself


def test_a_full_disk_while_saving_is_one_line_and_the_last_checkpoint_stays(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(model: object, processor: object, folder: Path, *more: object) -> None:
        if folder.parent.name == "checkpoint-4":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model.safetensors"))
        save_model(model, processor, folder, *more)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(saver, "save_model", fill)
    with pytest.raises(
        RunError, match=r"a checkpoint cannot be written \(the disk is full.*the last complete one stays"
    ):
        train(tiny_config(SETTINGS), [Source(data)], tmp_path / "run")
    assert find_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-2"


def test_writing_goes_on_while_the_run_does_and_holds_what_was_there(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_step = threading.Event()

    def wait(model: object, processor: object, folder: Path, *more: object) -> None:
        assert next_step.wait(60), "the run waits for its checkpoint"
        save_model(model, processor, folder, *more)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(saver, "save_model", wait)

    def log(line: str) -> None:
        if line.startswith("step 3/"):
            next_step.set()

    config = tiny_config({**SETTINGS, "keep_checkpoints": 9})
    train(config, [Source(data)], tmp_path / "run", log)
    monkeypatch.undo()
    train(config, [Source(data)], tmp_path / "again", resume=str(tmp_path / "run" / "checkpoint-2"))
    assert history(tmp_path / "again") == history(tmp_path / "run")[2:]


def test_out_of_memory_says_what_to_lower(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(backend: SingleProcess, loss: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(SingleProcess, "backward", fail)
    config = tiny_config({**SETTINGS, "accumulate": None, "micro_batch_tokens": 2048})
    with pytest.raises(RunError, match=r"out of memory on the GPU; lower --micro-batch-tokens, now 2048, or"):
        train(config, [Source(data)], tmp_path / "run")


def test_a_checkpoint_beyond_the_runs_end_is_one_line(data: Dataset, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"saved after step 4, and this run ends after step 2; train for more --epochs"
    ):
        train(tiny_config({**SETTINGS, "epochs": 1}), [Source(data)], tmp_path / "run", resume=str(saved))


def test_another_models_checkpoint_is_one_line(data: Dataset, saved: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "strategy": "lora", "lora.rank": 4}
    with pytest.raises(ModelFolderError, match=r"of another model or strategy .*use a checkpoint of this run"):
        train(tiny_config(settings), [Source(data)], tmp_path / "run", resume=str(saved))


def test_a_resumed_run_takes_the_new_optimizer_settings_and_writes_them_down(
    data: Dataset, saved: Path, tmp_path: Path
) -> None:
    config = tiny_config({**SETTINGS, "optimizer.lr": 0.5, "optimizer.weight_decay": 0.25})
    train(config, [Source(data)], tmp_path / "run", resume=str(saved))
    rates = [row["learning_rate"] for row in history(tmp_path / "run")]
    assert rates == pytest.approx([0.5 * 2 / 6, 0.5 / 6])
    described = json.loads((tmp_path / "run" / "run.json").read_text())["config"]["optimizer"]
    assert (described["lr"], described["weight_decay"]) == (0.5, 0.25)


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


@pytest.fixture
def damaged(saved: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be damaged."""
    copy = tmp_path / "damaged" / saved.name
    shutil.copytree(saved, copy)
    return copy


@pytest.mark.parametrize("name", ["state/.metadata", "state/__0_0.distcp", "random.safetensors", "training_state.json"])
def test_a_file_that_was_changed_is_named(data: Dataset, damaged: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((damaged / name).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=rf"{name}: not what was saved \(its hash differs\); use an earlier"):
        train(tiny_config(SETTINGS), [Source(data)], tmp_path / "run", resume=str(damaged))


@pytest.mark.parametrize("name", ["state/.metadata", "state/__0_0.distcp", "random.safetensors", "training_state.json"])
def test_a_file_that_holds_something_else_is_one_line_and_no_pickle_is_run(
    data: Dataset, damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # As if whoever made it had written the hashes, too.
    monkeypatch.setattr(resume, "verify_checkpoint", lambda folder: None)
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(Bomb())
    (damaged / name).write_bytes(content)
    hashes = json.loads((damaged / "complete.json").read_text())
    hashes[name]["size"] = len(content)
    (damaged / "complete.json").write_text(json.dumps(hashes))
    with pytest.raises(ModelFolderError, match=r"cannot be read .*use an earlier checkpoint"):
        train(tiny_config(SETTINGS), [Source(data)], tmp_path / "run", resume=str(damaged))
    assert not (tmp_path / "exploded").exists()


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(folder: Path, *more: object) -> None:
        if folder.name == "checkpoint-4":
            raise Killed
        complete_checkpoint(folder, *more)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(saver, "complete_checkpoint", die)
    with pytest.raises(Killed):
        train(tiny_config(SETTINGS), [Source(data)], tmp_path / "run")
    monkeypatch.undo()
    assert find_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-2"
    train(tiny_config(SETTINGS), [Source(data)], tmp_path / "run")
    train(tiny_config(SETTINGS), [Source(data)], tmp_path / "whole")
    assert history(tmp_path / "run") == history(tmp_path / "whole")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranks=st.integers(1, 4), tokens=st.integers(1, 400), crops=st.integers(1, 12))
def test_neither_budget_nor_ranks_change_the_gradient_of_a_step(
    data: Dataset, ranks: int, tokens: int, crops: int
) -> None:
    """Every rank's micro-batches, one after the other in one process: their gradients add up to the step's."""
    whole, parts = gradients(data, 1, Budget(10**6, 10**6)), gradients(data, ranks, Budget(tokens, crops))
    for name, expected in whole.items():
        assert torch.allclose(parts[name], expected, rtol=1e-4, atol=1e-6), name


def gradients(data: Dataset, ranks: int, budget: Budget) -> dict[str, torch.Tensor]:
    config, processor = tiny_config(SETTINGS), tiny_processor()
    measured = TrainingData([Source(data)], config.data).measure(processor)
    samples = measured.plan(RECORDS, 0).step(0)
    size = measured.sizes(samples)
    costs = size.tokens.astype(float).tolist()
    assigned = assign_by_budget(costs, size.tokens.tolist(), size.crops.tolist(), ranks, budget)
    source = SampleSource(RecordIndex(data, "train"), processor)
    model = load_trainable(config)
    collate = PackedCollator(processor.tokenizer.pad_token_id, processor.image_token_id)
    for part in (part for rank in assigned for part in rank):
        loss = model(**collate([source[samples[place].record] for place in part])).loss
        (loss / int(size.supervised.sum())).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_the_scale_of_a_float16_loss_is_kept_in_checkpoints() -> None:
    backend = SingleProcess(tiny_config({"model.precision": "fp16"}), Processes())
    model = torch.nn.Linear(2, 2)
    backend.prepare(model, [{"params": list(model.parameters()), "lr": 0.1, "weight_decay": 0.0, "name": "all"}])
    before = backend.progress().scaler["scale"]
    backend.backward(model(torch.full((1, 2), 1e38)).sum() * 1e38)  # overflows
    backend.step(1.0)
    assert backend.progress() == OptimizerProgress(0, backend.scaler.state_dict())
    assert backend.progress().scaler["scale"] == before / 2
