from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import colour_records, write_dataset
from safetensors.torch import load_file
from tiny_runs import traced

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.errors import DatasetError, MissingDependencyError, ModelFolderError, OutputError, UsageError
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.model_folder import load_for_evaluation
from phi3v_data.trainer.outline import outline_run
from phi3v_data.trainer.train import train

Run = Callable[..., TrainConfig]


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def accuracy(evaluation: dict[str, Any]) -> float:
    value: float = evaluation["metrics"]["accuracy"]["value"]
    return value


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run / "run.json").read_text())["result"]
    return result


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_two_runs_with_one_seed_have_the_same_losses_bit_for_bit(
    colours: Dataset, tmp_path: Path, tiny_run: Run, strategy: str
) -> None:
    settings = {"strategy": strategy, "epochs": 2, "lora.dropout": 0.1, "evaluation.enabled": False}
    first, second = (train(tiny_run(settings), [Source(colours)], tmp_path / name).losses for name in ("a", "b"))
    assert first == second
    assert history(tmp_path / "a") == history(tmp_path / "b")
    other = train(tiny_run({**settings, "seed": 1}), [Source(colours)], tmp_path / "c").losses
    assert other != first


def test_a_step_in_micro_batches_trains_as_the_whole_step_does(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    settings = {"epochs": 2, "evaluation.enabled": False}
    whole = train(tiny_run(settings), [Source(colours)], tmp_path / "whole").losses
    parts = train(tiny_run({**settings, "accumulate": 3}), [Source(colours)], tmp_path / "parts").losses
    assert parts == pytest.approx(whole, rel=1e-3)


def test_a_run_learns_and_leaves_what_its_folder_promises(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    logged: list[str] = []
    result = train(tiny_run({"epochs": 30}), [Source(colours)], tmp_path / "run", logged.append)
    assert result.after is not None
    assert result.after.accuracy == 1.0
    assert result.losses[-1] < 0.1 * result.losses[0]

    run = tmp_path / "run"
    before, after = (json.loads((run / f"eval_{when}.json").read_text()) for when in ("before", "after"))
    assert [answer["id"] for answer in after["answers"]] == ["val-0", "val-1", "val-2"]
    assert [answer["expected"] for answer in after["answers"]] == ["red", "green", "blue"]
    assert [answer["given"] for answer in after["answers"]] == ["red", "green", "blue"]
    assert (accuracy(after), accuracy(before)) == (1.0, result_of(run)["accuracy_before"])
    described = json.loads((run / "run.json").read_text())
    assert described["data"][0]["sha256"] == colours.digest()
    assert described["config"]["model"]["name"] == "tiny"
    assert {"torch", "transformers", "phi3v-data"} <= described["versions"].keys()
    assert described["result"]["learning_rate"] == 1e-3
    assert [row["step"] for row in history(run)] == list(range(1, 91))
    assert list((run / "logs").glob("events.out.tfevents.*"))
    assert any("eval_after.json: accuracy 1.000" in line for line in logged)

    # What was saved answers as what was trained.
    model, processor = load_for_evaluation(tiny_run({"model.name": str(run)}))
    again = evaluate(model, processor, colours, "val", tiny_run().evaluation, with_loss=True)
    assert again == result.after


def test_adapters_are_saved_alone_and_load_onto_the_model_they_were_made_for(
    colours: Dataset, tmp_path: Path, tiny_run: Run
) -> None:
    settings = {"strategy": "lora", "lora.rank": 4, "epochs": 4, "optimizer.lr": 1e-2}
    result = train(tiny_run(settings), [Source(colours)], tmp_path / "run")
    saved = {path.name for path in (tmp_path / "run" / "model").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "preprocessor_config.json"} <= saved
    assert not saved & {"model.safetensors", "README.md"}
    model, processor = load_for_evaluation(tiny_run({"model.name": str(tmp_path / "run")}))
    assert evaluate(model, processor, colours, "val", tiny_run().evaluation, with_loss=True) == result.after


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_gradient_checkpointing_changes_no_loss(colours: Dataset, tmp_path: Path, tiny_run: Run, strategy: str) -> None:
    settings = {"strategy": strategy, "epochs": 1, "evaluation.enabled": False}
    plain = train(tiny_run(settings), [Source(colours)], tmp_path / "plain").losses
    saving = train(
        tiny_run({**settings, "model.gradient_checkpointing": 1}), [Source(colours)], tmp_path / "saving"
    ).losses
    assert saving == pytest.approx(plain, rel=1e-5)


def test_bf16_trains_in_bf16(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    settings = {"model.precision": "bf16", "epochs": 8, "evaluation.enabled": False}
    losses = train(tiny_run(settings), [Source(colours)], tmp_path / "run").losses
    assert losses[-1] < 0.7 * losses[0]
    model, _ = load_for_evaluation(tiny_run({"model.name": str(tmp_path / "run"), "model.precision": "bf16"}))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_adapters_are_trained_in_fp32_on_a_bf16_model(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    settings = {"strategy": "lora", "model.precision": "bf16", "epochs": 1, "evaluation.enabled": False}
    train(tiny_run(settings), [Source(colours)], tmp_path / "run")
    saved = load_file(tmp_path / "run" / "model" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


def test_conversations_of_every_shape_are_trained_on_together(
    mixed_conversations: Dataset, tmp_path: Path, tiny_run: Run
) -> None:
    losses = train(tiny_run({"epochs": 10}), [Source(mixed_conversations)], tmp_path / "run").losses
    assert losses[-1] < 0.8 * losses[0]


def test_warm_up_takes_at_most_a_tenth_of_the_run(colours: Dataset, tiny_run: Run) -> None:
    assert outline_run(tiny_run({"epochs": 10}), [Source(colours)]).warmup_steps == 3
    assert outline_run(tiny_run({"epochs": 1000}), [Source(colours)]).warmup_steps == 50


def test_the_split_to_evaluate_on_is_found_or_named(colours: Dataset, tiny_run: Run) -> None:
    assert outline_run(tiny_run(), [Source(colours)]).eval_split == "val"
    assert outline_run(tiny_run({"data.eval_split": "train"}), [Source(colours)]).eval_split == "train"
    assert outline_run(tiny_run({"evaluation.enabled": False}), [Source(colours)]).eval_split is None
    with pytest.raises(DatasetError, match="no split 'dev' to evaluate on; there are: train, val"):
        outline_run(tiny_run({"data.eval_split": "dev"}), [Source(colours)])


def test_a_split_that_was_not_converted_is_not_evaluated_on(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    (tmp_path / "x_train.jsonl").write_bytes(colours.folder.read("colours_train.jsonl"))
    (tmp_path / "x_val.jsonl").touch()
    (tmp_path / "x_test.jsonl").write_bytes(colours.folder.read("colours_val.jsonl"))
    dataset = open_dataset(str(tmp_path))
    assert outline_run(tiny_run(), [Source(dataset)]).eval_split == "test"
    with pytest.raises(DatasetError, match="no split 'val' to evaluate on; there are: test, train"):
        outline_run(tiny_run({"data.eval_split": "val"}), [Source(dataset)])


def test_one_file_of_records_is_trained_on_whatever_its_name(mixed_conversations: Dataset, tiny_run: Run) -> None:
    one = open_dataset(f"{mixed_conversations.folder.address}/colours_train.jsonl")
    plan = outline_run(tiny_run({"data.train_split": "anything"}), [Source(one)])
    assert (plan.train_splits, plan.records, plan.eval_split) == (["train"], 3, None)


def test_a_split_to_train_on_that_is_not_there_is_refused(colours: Dataset, tiny_run: Run) -> None:
    with pytest.raises(DatasetError, match="no split 'training' to train on; there are: train, val"):
        outline_run(tiny_run({"data.train_split": "training"}), [Source(colours)])


def test_a_folder_that_holds_something_is_not_written_into(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds other files \(thesis\.txt\); remove it or choose another --out"):
        train(tiny_run(), [Source(colours)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_image_that_is_missing_is_named_before_anything_is_trained(tmp_path: Path, tiny_run: Run) -> None:
    dataset = write_dataset(tmp_path / "data", {"train": colour_records("train", 4)})
    (tmp_path / "data" / "images" / "train" / "green-1.png").unlink()
    wanted = r"records that cannot be read: 1 \(train-1\); of train-1, image train/green-1\.png does not exist"
    with pytest.raises(DatasetError, match=wanted):
        train(tiny_run(), [Source(dataset)], tmp_path / "run")


def test_a_run_that_ended_early_has_no_model_to_evaluate(tmp_path: Path, tiny_run: Run) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="this run has saved no model"):
        load_for_evaluation(tiny_run({"model.name": str(tmp_path)}))


def test_a_kernel_whose_package_is_missing_is_one_line(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    if importlib.util.find_spec("flash_attn"):
        pytest.skip("flash-attn is installed here")
    with pytest.raises(MissingDependencyError, match=r"flash_attention_2 needs .* pip install 'phi3v-data\[flash\]'"):
        train(tiny_run({"model.attention": "flash_attention_2"}), [Source(colours)], tmp_path / "run")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_every_kernel_gives_the_same_losses(colours: Dataset, tmp_path: Path, tiny_run: Run, attention: str) -> None:
    settings = {"epochs": 1, "evaluation.enabled": False}
    usual = train(tiny_run(settings), [Source(colours)], tmp_path / "usual").losses
    other = train(tiny_run({**settings, "model.attention": attention}), [Source(colours)], tmp_path / "other").losses
    assert other == pytest.approx(usual, rel=1e-4)


def test_a_mistyped_model_leaves_the_runs_folder_free(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    with pytest.raises(ModelFolderError, match="no model folder at"):
        train(tiny_run({"model.name": str(tmp_path / "nowhere")}), [Source(colours)], tmp_path / "run")
    train(tiny_run({"evaluation.enabled": False}), [Source(colours)], tmp_path / "run")


def test_one_of_several_processes_that_cannot_find_the_others_is_refused(
    colours: Dataset, tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="WORLD_SIZE is 2, but RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"):
        train(tiny_run(), [Source(colours)], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_datasets_are_trained_on_by_weight_and_stated(colours: Dataset, tmp_path: Path, tiny_run: Run) -> None:
    other = write_dataset(tmp_path / "other", {"train": colour_records("other", 3)})
    sources = [Source(colours, Fraction(1)), Source(other, Fraction(1, 2))]
    config = tiny_run({"epochs": 0.5, "evaluation.enabled": False, "data.trace": True})
    train(config, sources, tmp_path / "run")
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(row["address"], row["weight"]) for row in described["data"]] == [
        (colours.folder.address, 1.0),
        (str(tmp_path / "other"), 0.5),
    ]
    steps = traced(tmp_path / "run")
    assert [sum(name.startswith("other") for name in ids) for ids in steps.values()] == [1, 1]
