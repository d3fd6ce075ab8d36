"""Evaluation while two processes train, on each backend: the model that is asked is the one that a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from colours import colour_records, write_dataset
from tiny_runs import history, tiny_config
from two_ranks import run_cases

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.evaluation.result import Answer, Evaluation, read_evaluation
from phi3v_data.trainer.model_folder import load_for_evaluation
from phi3v_data.trainer.train import train

pytestmark = pytest.mark.soak

BACKENDS = ("ddp", "fsdp2", "zero2", "zero3")
STRATEGIES = ("full", "lora")
EVALUATED = 2
# Three questions, one at a time: one rank asks more often than the other.
SETTINGS = {
    "epochs": 1.5,
    "optimizer.lr": 3e-3,
    "lora.rank": 4,
    "save_every": EVALUATED,
    "evaluation.every": 1,
    "evaluation.batch_size": 1,
    "evaluation.max_new_tokens": 4,
    "evaluation.resamples": 0,
    "evaluation.primary": "loss",
    "model.gradient_checkpointing": 1,
    "track": "none",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    splits = {"train": colour_records("train", 6), "val": colour_records("val", 3)}
    return write_dataset(tmp_path_factory.mktemp("data"), splits)


@pytest.fixture(scope="module")
def runs(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, one of a process alone and one of two for each backend, each strategy."""
    root = tmp_path_factory.mktemp("runs")
    cases = []
    for strategy in STRATEGIES:
        settings = {**SETTINGS, "strategy": strategy}
        train(tiny_config(settings), [Source(data)], root / f"single-{strategy}")
        for backend in BACKENDS:
            out = str(root / f"{backend}-{strategy}")
            case = {"data": data.folder.address, "out": out, "settings": {**settings, "backend": backend}}
            cases.append({**case, "resume": "auto"})
    run_cases("rank_cases.py", cases, root)
    return root


def evaluated(data: Dataset, model: Path) -> Evaluation:
    config = tiny_config({**SETTINGS, "model.name": str(model)})
    loaded, processor = load_for_evaluation(config)
    return evaluate(loaded, processor, data, "val", config.evaluation, with_loss=True)


def answers(found: Evaluation) -> list[tuple[str, str]]:
    return [(answer.id, answer.given) for answer in found.answers]


def losses(found: list[Answer]) -> list[float]:
    return [answer.loss or 0.0 for answer in found]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backend", ["single", *BACKENDS])
def test_the_answers_of_a_step_are_those_of_its_checkpoint(
    runs: Path, data: Dataset, backend: str, strategy: str
) -> None:
    run = runs / f"{backend}-{strategy}"
    during = read_evaluation(run / "evaluations" / f"step-{EVALUATED}.json")
    after = evaluated(data, run / f"checkpoint-{EVALUATED}")
    assert answers(during) == answers(after)
    assert losses(during.answers) == pytest.approx(losses(after.answers), abs=1e-4)
    assert during.metrics["loss"].count == after.metrics["loss"].count > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_evaluation_does_not_change_what_is_trained(runs: Path, backend: str, strategy: str) -> None:
    found, alone = (history(runs / f"{name}-{strategy}") for name in (backend, "single"))
    assert [row["loss"] for row in found] == pytest.approx([row["loss"] for row in alone], abs=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_best_model_is_that_of_the_lowest_loss(runs: Path, data: Dataset, backend: str) -> None:
    run = runs / f"{backend}-full"
    found = [read_evaluation(path).value("loss") for path in sorted(run.glob("evaluations/step-*.json"))]
    best = evaluated(data, run / "best").value("loss")
    assert best == pytest.approx(min(value for value in found if value is not None), abs=1e-5)
