"""What `train` and `evaluate` share: `--set key=value`, and the packages they need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from ..schema.dependencies import require


def parse_settings(pairs: Iterable[str]) -> dict[str, str]:
    """Split `key=value` pairs; values stay text, their meaning is the setting's.

    Raises:
        click.UsageError: one has no `=`.
    """
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set {pair}: expected KEY=VALUE")
        settings[key] = value
    return settings


def recipe_settings(name: str | None) -> dict[str, Any]:
    """Return the settings of a named run, its name among them; none without one.

    Raises:
        UsageError: there is no such recipe.
    """
    from ..trainer.recipes import load_recipe

    return {} if name is None else {**load_recipe(name).settings, "recipe": name}


def prepare_training_packages() -> None:
    """Make sure everything training stands on is installed, and keeps quiet.

    Raises:
        MissingDependencyError: one is not; names the extra that brings them all.
    """
    for module in ("torch", "transformers", "peft", "safetensors", "tensorboard"):
        require(module, purpose="training", extra="train")
    from ..trainer.quiet import quiet_libraries

    quiet_libraries()
