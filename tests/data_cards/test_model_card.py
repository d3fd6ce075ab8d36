"""The card of a run's model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from small_run import write_run

from phi3v_data.cli.main import run_command


def test_the_card_has_results_with_intervals_and_what_was_not_tried(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", tmp_path / "data", 0.1, ["cat", "dog", "dog", "x", "y"])
    (run / "model").mkdir()
    assert run_command(["card", str(run)]) == 0
    card = ModelCard.load(run / "model/README.md")
    assert card.data.pipeline_tag == "image-text-to-text"
    assert card.data.library_name == "peft"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.4, "val")
    assert "| after training | `val` | 0.400 (0.100–0.900) | 5 |" in card.text
    assert "- The splits `test`." in card.text
    assert "| `optimizer.lr` | `0.1` |" in card.text


def test_a_run_that_has_no_model_yet_gets_its_card_in_its_own_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", tmp_path / "data", 0.1, ["x"] * 5)
    assert run_command(["card", str(run)]) == 0
    assert (run / "README.md").is_file()


def test_train_writes_the_card_and_leaves_a_persons_words(
    givens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(givens / "runs", tmp_path / "animals-lora")
    path = run / "model/README.md"
    card = ModelCard.load(path)
    assert (card.data.library_name, card.data.pipeline_tag) == ("peft", "image-text-to-text")
    results = {(each.metric_type, each.dataset_split) for each in card.data.eval_results}
    assert ("accuracy", "val") in results
    for said in (
        "| before training | `val` |",
        "| after training | `val` |",
        "- The splits `test`.",
        "on the split `train`.",
    ):
        assert said in card.text
    assert "| `strategy` | `lora` |" in card.text
    path.write_text(path.read_text().replace("Measure it on your own data", "MEASURE IT ON YOUR OWN DATA"))
    assert run_command(["card", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == ["limits"]
    assert "MEASURE IT ON YOUR OWN DATA" in path.read_text()
