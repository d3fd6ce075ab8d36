"""Weights & Biases and MLflow themselves, on files; where they are not installed there is nothing to test."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny_config

from phi3v_data.trainer.telemetry.trackers import open_tracker

pytestmark = pytest.mark.slow


def track(tracker: str, folder: Path, steps: range) -> None:
    opened = open_tracker(tiny_config({"track": tracker}), folder, "a-run", steps.start)
    assert opened is not None
    for step in steps:
        opened.log({"loss": 3.0 - step, "tokens_per_second": 100.0}, step)
    opened.close()


def test_mlflow_gets_settings_and_metrics_and_a_resumed_run_continues_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    mlflow: Any = importlib.import_module("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    track("mlflow", tmp_path / "logs", range(2))
    track("mlflow", tmp_path / "logs", range(2, 4))
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("phi3v-data")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "a-run"
    assert run.data.params["optimizer.lr"] == "0.001"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(0, 3.0), (1, 2.0), (2, 1.0), (3, 0.0)]


def test_wandb_gets_settings_and_metrics_and_a_resumed_run_keeps_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    track("wandb", tmp_path / "logs", range(2))
    named = (tmp_path / "logs" / "wandb.id").read_text()
    track("wandb", tmp_path / "logs", range(2, 4))
    assert (tmp_path / "logs" / "wandb.id").read_text() == named
    written = [path.read_bytes() for path in (tmp_path / "logs").glob("wandb/offline-run-*/*.wandb")]
    assert len(written) == 2
    assert all(b"tokens_per_second" in content and b"optimizer.lr" in content for content in written)
