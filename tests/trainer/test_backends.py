"""Every strategy in every precision on every backend, with two real processes; and checkpoints carried between them.

All of it runs in one set of processes: starting them takes longer than training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import colour_records, write_dataset
from safetensors.torch import load_file
from tiny_runs import history, tiny_config, traced
from two_ranks import run_cases

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.config import Precision, Strategy
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.phi3v.tiny import tiny_model
from phi3v_data.trainer.strategies import part_of
from phi3v_data.trainer.train import train

pytestmark = pytest.mark.soak

STRATEGIES: tuple[Strategy, ...] = ("full", "frozen-vision", "lora", "qlora")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
BACKENDS = ("ddp", "fsdp2", "zero2", "zero3")
STEPS, RECORDS = 3, 4
# All records in every step: a fixed batch. What is not named is as it is by default: packing, checkpointing.
FIXED = {
    "batch_size": RECORDS,
    "accumulate": None,
    "epochs": STEPS,
    "evaluation.enabled": False,
    "model.gradient_checkpointing": 1,
    "lora.rank": 4,
    "track": "none",
}
# Several micro-batches a step, and steps that differ.
RESUMED = {
    "batch_size": 3,
    "accumulate": None,
    "micro_batch_tokens": 100,
    "epochs": 3,
    "evaluation.enabled": False,
    "save_every": 2,
    "data.trace": True,
    "track": "none",
}


def settings_of(strategy: Strategy, precision: Precision) -> dict[str, Any]:
    lr = 1e-2 if strategy in ("lora", "qlora") else 1e-3
    return {**FIXED, "strategy": strategy, "model.precision": precision, "optimizer.lr": lr}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("data"), {"train": colour_records("train", RECORDS)})


@pytest.fixture(scope="module")
def runs(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: `single-...` of one process, the others of two, named by backend."""
    root = tmp_path_factory.mktemp("runs")

    def alone(name: str, settings: dict[str, Any], resume: str = "auto") -> None:
        train(tiny_config(settings), [Source(data)], root / name, resume=resume)

    cases: list[dict[str, Any]] = []

    def together(name: str, settings: dict[str, Any], resume: str = "auto") -> None:
        case = {"data": data.folder.address, "out": str(root / name), "settings": settings, "resume": resume}
        cases.append(case)

    for strategy, precision in itertools.product(STRATEGIES, PRECISIONS):
        alone(f"single-{strategy}-{precision}", settings_of(strategy, precision))
        for backend in BACKENDS:
            together(f"{backend}-{strategy}-{precision}", {**settings_of(strategy, precision), "backend": backend})
    alone("single-whole", RESUMED)
    for backend in BACKENDS:
        settings = {**RESUMED, "backend": backend}
        together(f"{backend}-whole", settings)
        together(f"{backend}-resumed", settings, str(root / f"{backend}-whole" / "checkpoint-2"))
        together(f"{backend}-from-single", settings, str(root / "single-whole" / "checkpoint-2"))
    run_cases("rank_cases.py", cases, root)
    for backend in BACKENDS:
        alone(f"single-from-{backend}", RESUMED, str(root / f"{backend}-whole" / "checkpoint-2"))
    return root


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in history(run)]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backend", ["single", *BACKENDS])
def test_the_loss_of_a_fixed_batch_falls(runs: Path, backend: str, strategy: Strategy, precision: Precision) -> None:
    found = losses(runs / f"{backend}-{strategy}-{precision}")
    assert len(found) == STEPS
    assert found[-1] < 0.95 * found[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_backends_agree_on_the_losses_in_float32(runs: Path, backend: str, strategy: Strategy) -> None:
    expected = losses(runs / f"single-{strategy}-fp32")
    assert losses(runs / f"{backend}-{strategy}-fp32") == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backend", ["single", *BACKENDS])
def test_what_is_frozen_has_not_moved_by_a_bit_and_what_is_trained_has(
    runs: Path, backend: str, precision: Precision
) -> None:
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    before = tiny_model().state_dict()
    for strategy, trained in (("full", lambda part: True), ("frozen-vision", lambda part: part == "language model")):
        after = load_file(runs / f"{backend}-{strategy}-{precision}" / "model" / "model.safetensors")
        assert after.keys() == before.keys()
        parts: Callable[[str], bool] = trained
        for part in {part_of(name) for name in after}:
            of_part = [name for name in after if part_of(name) == part]
            moved = [not torch.equal(after[name], before[name].to(dtype)) for name in of_part]
            assert any(moved) is parts(part), (strategy, part)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["{}-resumed", "{}-from-single", "single-from-{}"])
def test_a_checkpoint_is_resumed_by_any_number_of_processes_on_any_backend(runs: Path, backend: str, how: str) -> None:
    whole, run = runs / "single-whole", runs / how.format(backend)
    expected = [loss for row, loss in zip(history(whole), losses(whole), strict=True) if row["step"] > 2]
    assert losses(run) == pytest.approx(expected, abs=1e-6 if how == "single-from-{}" else 2e-6)
    assert traced(run) == {step: ids for step, ids in traced(whole).items() if step >= 2}


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_micro_batches_on_several_ranks_train_as_one_process_does(runs: Path, backend: str) -> None:
    assert losses(runs / f"{backend}-whole") == pytest.approx(losses(runs / "single-whole"), abs=2e-6)
    assert traced(runs / f"{backend}-whole") == traced(runs / "single-whole")
