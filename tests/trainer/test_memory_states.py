"""What each process holds of weights, gradients and optimizer states on every backend: estimated, and measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from state_cases import held_after_backward
from tiny_runs import tiny_config
from two_ranks import run_cases

from phi3v_data.trainer.config import Precision, Strategy
from phi3v_data.trainer.memory import MemoryEstimate, MicroBatch, estimate_memory
from phi3v_data.trainer.phi3v.tiny import tiny_config as tiny_shapes
from phi3v_data.trainer.processes import Processes

pytestmark = pytest.mark.soak

CASES: list[tuple[Strategy, Precision]] = [
    ("full", "fp32"),
    ("full", "bf16"),
    ("frozen-vision", "bf16"),
    ("lora", "bf16"),
    ("qlora", "fp32"),
]
SHARED = ("ddp", "fsdp2", "zero2", "zero3")


def settings(strategy: Strategy, precision: Precision, backend: str) -> dict[str, str | int]:
    return {"strategy": strategy, "model.precision": precision, "backend": backend, "lora.rank": 4}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each rank held, a file a case."""
    root = tmp_path_factory.mktemp("states")
    cases = [
        {"settings": settings(strategy, precision, backend), "out": str(root / f"{backend}-{strategy}-{precision}")}
        for backend in SHARED
        for strategy, precision in CASES
    ]
    run_cases("state_cases.py", cases, root)
    return root


def estimate(strategy: Strategy, precision: Precision, backend: str, gpus: int) -> MemoryEstimate:
    config = tiny_config(settings(strategy, precision, backend))
    return estimate_memory(config, tiny_shapes(), backend, gpus, MicroBatch(1, 0, 1))


@pytest.mark.parametrize(("strategy", "precision"), CASES)
@pytest.mark.parametrize("backend", SHARED)
def test_each_of_two_processes_holds_what_is_estimated(
    measured: Path, backend: str, strategy: Strategy, precision: Precision
) -> None:
    expected = estimate(strategy, precision, backend, 2)
    for rank in range(2):
        held = json.loads((measured / f"{backend}-{strategy}-{precision}.rank-{rank}.json").read_text())["held"]
        assert expected.held == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize(("strategy", "precision"), CASES)
def test_a_process_alone_holds_what_is_estimated(strategy: Strategy, precision: Precision) -> None:
    held = held_after_backward(tiny_config(settings(strategy, precision, "single")), Processes())["held"]
    assert estimate(strategy, precision, "single", 1).held == pytest.approx(held, rel=0.1)
