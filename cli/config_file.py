"""`--config FILE`: the options of a command in YAML, each under the name of its flag without the dashes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..schema.errors import UsageError

# A command's own flags that say what to do, and not how.
_NOT_KEPT = {"config", "show-config", "quiet", "json", "help"}


def read_config(path: str) -> dict[str, Any]:
    """Read a file of options.

    Returns:
        Values by option, spelt with dashes.

    Raises:
        UsageError: it is not there, not valid YAML, or not a mapping.
    """
    import yaml

    try:
        with Path(path).open("rb") as stream:
            content = yaml.safe_load(stream)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); --config takes a YAML file") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise UsageError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{path}: expected a mapping of options to values, such as `source: ucf101`")
    return {key.replace("_", "-"): value for key, value in content.items() if value is not None}


def settings_from(path: str, content: Mapping[str, Any], params: Iterable[click.Option]) -> dict[str, Any]:
    """Turn a file's content into click's defaults for these parameters.

    Raises:
        UsageError: a key is none of them, or its value cannot be theirs.
    """
    known = {_key(param): param for param in params if _key(param) not in _NOT_KEPT}
    settings: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes: {', '.join(known)}"
            raise UsageError(f"{path}: no option {key!r}; {hint}")
        settings[str(known[key].name)] = _value(f"{path}: {key}", known[key], value)
    return settings


def as_yaml(params: Iterable[click.Option], values: Mapping[str, Any]) -> str:
    """Write values as a file that `read_config` reads; what is None, empty or False by itself is left out."""
    import yaml

    kept = {
        _key(param): list(value) if isinstance(value, tuple) else value
        for param in params
        if _key(param) not in _NOT_KEPT and (value := values.get(str(param.name))) not in (None, (), [], {})
    }
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120)


def _key(param: click.Option) -> str:
    return max(param.opts, key=len).lstrip("-")


def _value(place: str, param: click.Option, value: Any) -> Any:
    if isinstance(value, dict) and param.multiple:
        return [f"{name}={_scalar(place, param, part)}" for name, part in value.items()]
    if param.multiple:
        return [_scalar(place, param, part) for part in (value if isinstance(value, list) else [value])]
    if isinstance(value, list):
        # What takes names with commas between may be a list in YAML.
        return ",".join(str(_scalar(place, param, part)) for part in value)
    return _scalar(place, param, value)


def _scalar(place: str, param: click.Option, value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise UsageError(f"{place}: expected a single value, not {value!r}")
    if isinstance(value, bool) and not param.is_flag:
        raise UsageError(f"{place}: YAML reads this as {str(value).lower()}; put the text in quotes")
    return value if param.is_flag else str(value)
