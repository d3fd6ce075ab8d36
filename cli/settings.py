"""What `train` and `evaluate` share: `--set key=value`, and the packages they need."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ..schema.dependencies import require

__all__ = ["parse_settings", "prepare_training_packages"]


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


def prepare_training_packages() -> None:
    """Make sure everything training stands on is installed, and keeps quiet.

    Raises:
        MissingDependencyError: one is not; names the extra that brings them all.
    """
    for module in ("torch", "transformers", "peft", "safetensors", "tensorboard"):
        require(module, purpose="training", extra="train")
    from ..trainer.quiet import quiet_libraries

    quiet_libraries()
