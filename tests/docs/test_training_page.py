"""The page about runs shows commands that parse, and names settings that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from pages import blocks

from phi3v_data.cli.main import COMMANDS, _group
from phi3v_data.trainer.config import TrainConfig, make_config, setting_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
SHOWN = [line[2:] for block in blocks(PAGE) if block.info == "console" for line in block.text.splitlines()]


def arguments(line: str) -> list[str]:
    """What the command line of phi3v-data is given, started by torchrun or by its name."""
    words = shlex.split(line)
    return words[words.index("phi3v_data.cli") + 1 :] if words[0] == "torchrun" else words[1:]


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_shown_is_one_that_parses(line: str) -> None:
    name, *given = arguments(line)
    assert name in COMMANDS
    command = _group.get_command(_group.make_context("phi3v-data", [name], resilient_parsing=True), name)
    assert command is not None
    parsed = command.make_context(name, given)
    pairs = dict(pair.split("=") for pair in parsed.params["settings"])
    make_config(pairs)


def test_settings_and_defaults_that_are_named_are_the_configurations_own() -> None:
    text = PAGE.read_text()
    names = {name for name, _ in setting_names()}
    assert set(re.findall(r"`(data\.\w+|keep_checkpoints)`", text)) <= names
    config = TrainConfig()
    assert f"`--save-every` ({config.save_every}) steps" in text
    assert f"`data.cache_gb` ({config.data.cache_gb:g})" in text
    assert f"data.bad_samples_in_a_row={config.data.bad_samples_in_a_row}" in text
    assert config.keep_checkpoints == 2  # "the last two are kept"
