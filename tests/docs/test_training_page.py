"""The page about runs names settings that there are, with their defaults."""

from __future__ import annotations

import re
from pathlib import Path

from phi3v_data.trainer.config import TrainConfig, setting_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_settings_and_defaults_that_are_named_are_the_configurations_own() -> None:
    text = PAGE.read_text()
    names = {name for name, _ in setting_names()}
    assert set(re.findall(r"`(data\.\w+|keep_checkpoints)`", text)) <= names
    config = TrainConfig()
    assert f"`--save-every` ({config.save_every}) steps" in text
    assert f"`data.cache_gb` ({config.data.cache_gb:g})" in text
    assert f"data.bad_samples_in_a_row={config.data.bad_samples_in_a_row}" in text
    assert config.keep_checkpoints == 2  # "the last two are kept"
