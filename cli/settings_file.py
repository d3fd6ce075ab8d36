"""`train --config FILE`: settings in YAML, as a tree or by dotted names, such as `--show-config` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .config_file import read_config

if TYPE_CHECKING:
    from ..trainer.config import TrainConfig


def read_settings(path: str) -> dict[str, Any]:
    """Read a file of settings.

    Returns:
        Values by dotted name.

    Raises:
        UsageError: it is not there, or not a YAML mapping.
    """
    return {name.replace("-", "_"): value for name, value in _dotted(read_config(path))}


def settings_tree(config: TrainConfig) -> dict[str, Any]:
    """Return every setting that holds, as plain values; those without a value are left out."""
    import msgspec

    tree = msgspec.to_builtins(config)
    tree["optimizer"]["lr"] = config.learning_rate
    return _filled(tree)


def settings_yaml(config: TrainConfig) -> str:
    """Write every setting that holds, as a file that `read_settings` reads."""
    import yaml

    return yaml.safe_dump(settings_tree(config), sort_keys=False, allow_unicode=True, width=120)


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _filled(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _filled(value) if isinstance(value, dict) else value for name, value in tree.items() if value is not None
    }
