"""What the trainer's tests share: a configuration for the tiny model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny_runs import tiny_config

from phi3v_data.trainer.config import TrainConfig


@pytest.fixture
def tiny_run() -> Callable[..., TrainConfig]:
    """Make a configuration: the tiny model in float32, in few and small steps, changed as the caller says."""
    return tiny_config
