from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from colours import colour_records, write_dataset
from safetensors.torch import load_file
from tiny_runs import Killed, broken_off, history, tiny_config, traced

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import ModelFolderError, OutputError, UsageError
from phi3v_data.trainer.checkpoints import DataState, find_checkpoint
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.bad_samples import BadSamples
from phi3v_data.trainer.data.plan import Plan, Stream
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.model_folder import load_for_evaluation
from phi3v_data.trainer.run_folder import RunFolder
from phi3v_data.trainer.train import train

pytestmark = pytest.mark.slow  # together; each takes a second or two

Run = Callable[..., TrainConfig]

STEPS = 9
SETTINGS = {"epochs": 3, "evaluation.enabled": False, "save_every": 2, "data.trace": True}


def weights(run: Path) -> dict[str, Any]:
    (path,) = (run / "model").glob("*model.safetensors")
    return {name: tensor.tolist() for name, tensor in load_file(path).items()}


@pytest.fixture(scope="module")
def whole(colours: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, Any]], Path]:
    """Runs that nothing interrupted, each made once."""
    made: dict[str, Path] = {}

    def make(settings: Mapping[str, Any] = MappingProxyType({})) -> Path:
        key = str(dict(settings))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("whole") / "run"
            train(tiny_config({**SETTINGS, **settings}), [Source(colours)], made[key])
        return made[key]

    return make


@pytest.mark.parametrize("more", [{}, {"strategy": "lora", "lora.dropout": 0.1, "lora.rank": 4}], ids=["full", "lora"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path], more: dict[str, Any]
) -> None:
    config = tiny_run({**SETTINGS, **more})
    run = broken_off(config, colours, tmp_path / "run", step=6)
    logged: list[str] = []
    train(config, [Source(colours)], run, logged.append)
    assert any("resuming from" in line and line.endswith("checkpoint-4, after step 4") for line in logged)
    assert history(run) == history(whole(more))
    assert weights(run) == weights(whole(more))
    assert traced(run) == traced(whole(more))


def test_what_is_traced_is_the_plan(colours: Dataset, whole: Callable[..., Path]) -> None:
    plan = Plan([Stream(9)], 3, seed=0)
    assert traced(whole()) == {step: [f"train-{ref.record}" for ref in plan.step(step)] for step in range(STEPS)}


def test_losses_logged_less_often_than_checkpoints_are_made_are_the_same_after_a_break(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path]
) -> None:
    settings = {"log_every": 5}
    config = tiny_run({**SETTINGS, **settings})
    run = broken_off(config, colours, tmp_path / "run", step=5)
    train(config, [Source(colours)], run)
    assert history(run) == history(whole(settings))


@pytest.mark.parametrize("tear", ["unfinished", "cut"])
def test_a_torn_checkpoint_is_passed_over(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path], tear: str
) -> None:
    config = tiny_run(SETTINGS)
    run = broken_off(config, colours, tmp_path / "run", step=6)
    if tear == "unfinished":
        (run / "checkpoint-4" / "complete.json").unlink()
    else:
        (run / "checkpoint-4" / "state/.metadata").write_bytes(b"half")
    assert find_checkpoint(run) == run / "checkpoint-2"
    (run / "checkpoint-4" / "stray").write_bytes(b"of a process that is no more")
    train(config, [Source(colours)], run)
    assert history(run) == history(whole())
    assert not list(run.glob("*/stray"))


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path]
) -> None:
    config = tiny_run(SETTINGS)
    run = broken_off(config, colours, tmp_path / "run", step=1)
    train(config, [Source(colours)], run)
    assert history(run) == history(whole())


def test_a_finished_run_says_so_and_is_left_alone(colours: Dataset, tiny_run: Run, whole: Callable[..., Path]) -> None:
    run = whole()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    logged: list[str] = []
    result = train(tiny_run(SETTINGS), [Source(colours)], run, logged.append)
    assert logged == []
    assert result.lines() == [
        f"{run}: this run is finished, its model is in {run / 'model'}; another --out starts another run"
    ]
    assert (result.already_finished, result.losses) == (True, [row["loss"] for row in history(run)])
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_a_run_whose_last_evaluation_was_killed_has_only_that_left_to_do(
    colours: Dataset, tmp_path: Path, tiny_run: Run, strategy: str
) -> None:
    config = tiny_run({"epochs": 2, "strategy": strategy, "optimizer.lr": 1e-2})
    whole, run = tmp_path / "whole", tmp_path / "run"
    expected = train(config, [Source(colours)], whole)
    shutil.copytree(whole, run)
    # As if it had been killed before its evaluation was written.
    (run / "eval_after.json").unlink()
    described = json.loads((run / "run.json").read_text())
    del described["result"]["accuracy_after"], described["result"]["accuracy_before"]
    (run / "run.json").write_text(json.dumps(described))
    logged: list[str] = []
    result = train(config, [Source(colours)], run, logged.append)
    assert dataclasses.replace(result, folder=expected.folder) == expected
    assert logged[0] == f"{run}: all steps are done; what is missing is the evaluation of the model in {run / 'model'}"
    assert not any(line.startswith("step ") for line in logged)
    assert (run / "eval_after.json").read_bytes() == (whole / "eval_after.json").read_bytes()
    assert json.loads((run / "run.json").read_text()) == json.loads((whole / "run.json").read_text())


def test_a_model_is_known_to_be_trained_before_it_is_evaluated(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    def log(line: str) -> None:
        if line.startswith("eval_after.json"):
            raise Killed

    with pytest.raises(Killed):
        train(tiny_run(), [Source(colours)], tmp_path / "run", log)
    described = RunFolder(tmp_path / "run").described()
    assert described is not None
    assert described.trained
    assert not described.finished


def test_the_last_step_is_logged_however_seldom_others_are(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    run = tmp_path / "run"
    train(tiny_run({"epochs": 3, "log_every": 4, "evaluation.enabled": False}), [Source(colours)], run)
    assert [row["step"] for row in history(run)] == [1, 4, 8, 9]


def test_accumulation_and_workers_may_change_on_the_way(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path]
) -> None:
    run = broken_off(tiny_run(SETTINGS), colours, tmp_path / "run", step=6)
    train(tiny_run({**SETTINGS, "accumulate": 2, "data.workers": 2}), [Source(colours)], run)
    assert traced(run) == traced(whole())
    losses = [row["loss"] for row in history(run)]
    assert losses == pytest.approx([row["loss"] for row in history(whole())], rel=1e-5)


def test_another_configuration_does_not_resume_a_run(
    colours: Dataset, tiny_run: Run, whole: Callable[..., Path]
) -> None:
    wanted = r"holds a run with other settings \(batch_size is 3 there, 4 here, and 1 more\); choose another --out"
    with pytest.raises(OutputError, match=wanted):
        train(tiny_run({**SETTINGS, "batch_size": 4, "seed": 1}), [Source(colours)], whole())


def test_never_takes_an_empty_folder_only(colours: Dataset, tiny_run: Run, whole: Callable[..., Path]) -> None:
    with pytest.raises(OutputError, match="holds a finished or unfinished run"):
        train(tiny_run(SETTINGS), [Source(colours)], whole(), resume="never")


def test_a_checkpoint_that_is_named_resumes_in_another_folder(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path]
) -> None:
    run = broken_off(tiny_run(SETTINGS), colours, tmp_path / "run", step=6)
    train(tiny_run(SETTINGS), [Source(colours)], tmp_path / "other", resume=str(run / "checkpoint-2"))
    assert history(tmp_path / "other") == history(whole())[2:]
    with pytest.raises(ModelFolderError, match="--resume nowhere: no complete checkpoint there"):
        train(tiny_run(SETTINGS), [Source(colours)], tmp_path / "third", resume="nowhere")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"batch_size": 4}, "--batch-size was 3, and is 4"),
        ({"seed": 5}, "--seed was 0, and is 5"),
    ],
)
def test_a_checkpoint_of_another_order_is_refused(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path], change: dict[str, int], wanted: str
) -> None:
    with pytest.raises(UsageError, match=f"cannot resume: {wanted}, so the order would be another"):
        train(tiny_run({**SETTINGS, **change}), [Source(colours)], tmp_path / "run", resume=str(whole()))


def test_a_checkpoint_of_shards_that_were_mixed_otherwise_is_refused() -> None:
    def state(shards_per_block: int) -> DataState:
        return DataState(
            step=1,
            seed=0,
            batch_size=3,
            shards_per_block=shards_per_block,
            data="",
            weights=[None],
            bad_samples=BadSamples(),
        )

    state(8).check(state(8))
    with pytest.raises(UsageError, match=r"cannot resume: data\.shards_per_block was 8, and is 2"):
        state(8).check(state(2))


def test_a_checkpoint_of_another_mixture_is_refused(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    config = tiny_run({"epochs": 1, "save_every": 1, "evaluation.enabled": False})
    train(config, [Source(colours, Fraction(2)), Source(colours, Fraction(1))], tmp_path / "run")
    wanted = r"the datasets' weighting was \[2\.0, 1\.0\], and is \[1\.0, 1\.0\], so the order would be another"
    with pytest.raises(UsageError, match=wanted):
        train(config, [Source(colours, Fraction(1))] * 2, tmp_path / "other", resume=str(tmp_path / "run"))


def test_a_run_does_not_resume_with_other_data(tmp_path: Path, tiny_run: Run) -> None:
    data = write_dataset(tmp_path / "data", {"train": colour_records("train", 9)})
    run = broken_off(tiny_run(SETTINGS), data, tmp_path / "run", step=6)
    changed = write_dataset(tmp_path / "data", {"train": colour_records("train", 10)})
    with pytest.raises(UsageError, match="cannot resume: the data is not what it was"):
        train(tiny_run(SETTINGS), [Source(changed)], run)


def test_only_the_newest_checkpoints_are_kept(whole: Callable[..., Path]) -> None:
    assert sorted(path.name for path in whole().glob("checkpoint-*")) == ["checkpoint-6", "checkpoint-8"]


def test_what_a_checkpoint_keeps_of_the_data_is_small(whole: Callable[..., Path]) -> None:
    state = whole() / "checkpoint-8" / "data_state.json"
    assert json.loads(state.read_text())["step"] == 8
    assert state.stat().st_size < 1000
    bad = BadSamples(count=10**9, in_a_row=9, last=["x" * 80] * 4)
    largest = DataState(
        step=10**9,
        seed=2**63,
        batch_size=10**6,
        shards_per_block=10**6,
        data="f" * 64,
        weights=[0.1] * 20,
        bad_samples=bad,
    )
    assert len(msgspec.json.encode(largest)) < 1000


def test_a_checkpoint_is_a_model_that_can_be_evaluated(
    colours: Dataset, tiny_run: Run, whole: Callable[..., Path]
) -> None:

    model, processor = load_for_evaluation(tiny_run({"model.name": str(whole() / "checkpoint-8")}))
    assert evaluate(model, processor, colours, "val", tiny_run().evaluation).total == 3


def test_a_run_whose_description_is_damaged_is_left_alone(
    colours: Dataset, tmp_path: Path, tiny_run: Run, whole: Callable[..., Path]
) -> None:
    shutil.copytree(whole(), tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(OutputError, match=r"run\.json: cannot be read .* choose another --out"):
        train(tiny_run(SETTINGS), [Source(colours)], tmp_path / "run")
