from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from phi3v_data.cli.main import run_command
from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.config import make_config
from phi3v_data.trainer.data.cost_model import sample_cost, strategy_passes
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_processor


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten records with 0, 1, 2, 0 ... images; the last has a long answer."""
    root = tmp_path_factory.mktemp("estimate")
    (root / "images").mkdir()
    Image.new("RGB", (300, 200)).save(root / "images" / "a.png")
    records = [
        Record(
            id=f"r{number}",
            conversations=[
                Turn(images=["a.png"] * (number % 3), user="What?", assistant="x" * (500 if number == 9 else 1))
            ],
        )
        for number in range(10)
    ]
    write_records(LocalFolder(root), "x_train.jsonl", records)
    return str(root)


def whole(capsys: pytest.CaptureFixture[str], data: str, *arguments: str) -> Any:
    assert run_command(["estimate", data, "--model", "tiny", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def estimate(capsys: pytest.CaptureFixture[str], data: str, *arguments: str) -> Any:
    return whole(capsys, data, *arguments)["data"]


def test_the_numbers_are_those_of_the_records(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = estimate(capsys, data, "--num-crops", "4", "--batch-size", "4", "--epochs", "1.5")
    assert (found["records"], found["steps"], found["faulty"], found["too_long"]) == (10, 4, 0, [])
    grid = tiny_processor().image_processor.crop_grid(300, 200, 4)
    assert found["images"]["total"] == 9
    assert found["crops"]["total"] == 9 * grid.encoded_crops
    assert found["crops"]["most"] == 2 * grid.encoded_crops
    assert found["crop_padding"] == pytest.approx(1 - (grid.rows * grid.columns + 1) / 5)
    assert found["tokens"]["least"] < found["tokens"]["p50"] < found["tokens"]["p99"] == found["tokens"]["most"]
    assert found["tokens"]["mean"] == found["tokens"]["total"] / 10


def test_operations_are_those_of_the_records(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = estimate(capsys, data, "--max-tokens", "30")
    # Only the records without images are left, and all of those are alike.
    tokens = found["tokens"]["most"]
    assert tokens == found["tokens"]["least"]
    passes = strategy_passes(make_config({"strategy": "lora"}))
    supervised = found["supervised"]["most"]
    assert found["teraflop"] * 1e12 == pytest.approx(sample_cost(tokens, supervised, 0, tiny_config(), passes))


def test_records_that_are_too_long_are_listed_and_left_out(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = estimate(capsys, data, "--max-tokens", "400")
    assert [record["id"] for record in found["too_long"]] == ["r9"]
    assert found["too_long"][0]["tokens"] > 500
    assert found["tokens"]["most"] <= 400
    assert found["records"] == 10


def test_micro_batches_of_one_sample_have_nothing_to_pad_and_larger_ones_do(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert estimate(capsys, data, "--batch-size", "5", "--accumulate", "5")["balance"]["padding"] == 0
    whole = estimate(capsys, data, "--batch-size", "10", "--accumulate", "1")
    padded = 10 * whole["tokens"]["most"]
    assert whole["balance"]["padding"] == pytest.approx(1 - whole["tokens"]["total"] / padded)


def test_balancing_by_cost_is_more_even_than_the_order_itself(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    balance = estimate(capsys, data, "--batch-size", "10", "--gpus", "2", "--max-tokens", "400")["balance"]
    assert 0 <= balance["imbalance"] <= balance["worst_imbalance"] < balance["imbalance_in_order"]
    assert estimate(capsys, data, "--ranks", "1")["balance"]["worst_imbalance"] == 0


def test_the_text_says_the_same_for_people(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["estimate", data, "--model", "tiny", "--max-tokens", "400", "--batch-size", "3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("records: 10; epochs: 1; steps: 3 of 3\n")
    assert "r9: " in text
    assert "(steps: the first 3; GPUs: 1; micro-batches a GPU: 1)" in text


def test_every_strategy_has_its_memory_and_the_largest_micro_batch_that_fits(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = whole(capsys, data, "--gpus", "8", "--gpu-memory", "24")
    assert [each["memory"]["strategy"] for each in found["strategies"]] == ["full", "frozen-vision", "lora", "qlora"]
    assert all(each["micro_batch_tokens"] == 32768 and not each["advice"] for each in found["strategies"])
    assert {each["memory"]["backend"] for each in found["strategies"]} == {"fsdp2", "ddp"}


def test_what_does_not_fit_comes_with_what_to_change(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = whole(capsys, data, "--gpu-memory", "1")
    assert all(each["micro_batch_tokens"] is None for each in found["strategies"])
    advice = [each["advice"] for each in found["strategies"]]
    assert all("GB too much" in each for each in advice)
    assert "lora or qlora" in advice[0]
    assert "--num-crops" in advice[2]


def test_an_epoch_takes_its_operations_at_the_stated_utilisation(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = whole(capsys, data, "--gpus", "8", "--gpu", "NVIDIA A100-SXM4-80GB", "--utilisation", "0.5")
    operations = found["data"]["teraflop"] * found["data"]["records"]
    assert found["epoch"]["hours"] == pytest.approx(operations / (312 * 0.5 * 8) / 3600)
    with pytest.raises(UsageError, match="its peak is not known here; known are: B200"):
        run_command(["estimate", data, "--model", "tiny", "--gpu", "abacus"])


def test_a_recipe_gives_its_settings(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = estimate(capsys, data, "--recipe", "docvqa-lora", "--set", "model.name=tiny")
    assert (found["batch_size"], found["epochs"]) == (64, 2)
