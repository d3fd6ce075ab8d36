"""Evaluation while a run trains: when it happens, what is kept, and when it ends a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import broken_off, tiny_config

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.evaluation.result import is_better, read_evaluation
from phi3v_data.trainer.model_folder import load_for_evaluation
from phi3v_data.trainer.train import train

SETTINGS = {"epochs": 2, "evaluation.every": 2, "optimizer.lr": 3e-3}


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def best(run: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((run / "best" / "best.json").read_text())
    return described


@pytest.fixture(scope="module")
def whole(colours: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("periodic") / "run"
    train(tiny_config(SETTINGS), [Source(colours)], out)
    return out


def test_every_so_many_steps_the_metrics_are_written(whole: Path) -> None:
    assert [row["step"] for row in rows(whole)] == [2, 4, 6]
    assert all(row["primary"] == "accuracy" for row in rows(whole))
    assert all(0 < row["metrics"]["loss"] < 20 for row in rows(whole))


def test_every_answer_of_each_evaluation_is_kept(whole: Path) -> None:
    assert sorted(path.name for path in (whole / "evaluations").iterdir()) == [f"step-{n}.json" for n in (2, 4, 6)]
    for row in rows(whole):
        found = read_evaluation(whole / "evaluations" / f"step-{row['step']}.json")
        assert {name: metric.value for name, metric in found.metrics.items()} == row["metrics"]
        assert len(found.answers) == 3


def test_the_best_model_is_kept_and_is_as_good_as_it_was_found(whole: Path, colours: Dataset) -> None:
    values = [row["metrics"]["accuracy"] for row in rows(whole)]
    assert best(whole)["step"] == rows(whole)[values.index(max(values))]["step"]
    config = tiny_config({"model.name": str(whole / "best")})
    model, processor = load_for_evaluation(config)
    again = evaluate(model, processor, colours, "val", config.evaluation, with_loss=True)
    assert {name: metric.value for name, metric in again.metrics.items()} == best(whole)["metrics"]


def test_a_run_that_was_killed_continues_with_what_its_first_part_found(
    whole: Path, colours: Dataset, tmp_path: Path
) -> None:
    config = tiny_config({**SETTINGS, "save_every": 2})
    out = broken_off(config, colours, tmp_path / "run", 5)
    train(config, [Source(colours)], out)
    assert rows(out) == rows(whole)
    assert best(out) == best(whole)


def test_a_run_that_does_not_improve_ends_early(colours: Dataset, tmp_path: Path) -> None:
    # A learning rate this small changes no answer.
    settings = {**SETTINGS, "evaluation.every": 1, "evaluation.early_stopping": 2, "optimizer.lr": 1e-12}
    lines: list[str] = []
    train(tiny_config(settings), [Source(colours)], tmp_path / "run", lines.append)
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3]
    assert any("no better accuracy for 2 evaluations: the run ends" in line for line in lines)
    assert (tmp_path / "run" / "model").is_dir()
    assert train(tiny_config(settings), [Source(colours)], tmp_path / "run", lines.append).already_finished


def test_the_best_by_loss_is_the_lowest_and_a_rising_loss_ends_the_run(colours: Dataset, tmp_path: Path) -> None:
    # A learning rate this large makes the loss rise from the second evaluation on.
    settings = {
        "epochs": 4,
        "optimizer.lr": 0.5,
        "evaluation.every": 1,
        "evaluation.primary": "loss",
        "evaluation.early_stopping": 3,
        "evaluation.max_new_tokens": 1,
    }
    train(tiny_config(settings), [Source(colours)], tmp_path / "run")
    losses = [row["metrics"]["loss"] for row in rows(tmp_path / "run")]
    lowest = losses.index(min(losses))
    assert best(tmp_path / "run")["step"] == lowest + 1
    assert best(tmp_path / "run")["metric"] == "loss"
    assert len(losses) == min(12, lowest + 1 + 3)


def test_a_lower_loss_is_better_and_a_higher_accuracy() -> None:
    assert is_better("loss", 1.0, 2.0)
    assert is_better("accuracy", 0.9, 0.8)
    assert not is_better("loss", 1.0, 1.0)
    assert not is_better("accuracy", 0.9, 0.9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evaluation.metrics": "anls"}, r"evaluation\.metrics: the metric anls needs turns with several"),
        ({"evaluation.primary": "consistency"}, r"evaluation\.primary: the metric consistency needs records with"),
        ({"evaluation.primary": "bleu"}, r"evaluation\.primary: no metric 'bleu'; there are: accuracy"),
    ],
)
def test_a_metric_that_the_data_does_not_allow_ends_a_run_before_it_begins(
    colours: Dataset, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(tiny_config(settings), [Source(colours)], tmp_path / "run")
    assert not (tmp_path / "run").exists()
