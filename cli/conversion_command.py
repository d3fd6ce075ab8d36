"""The commands that make a dataset, from what its manifest says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from ..schema.errors import UsageError
from ..schema.layout import Manifest, Step
from .source_options import SourceOption, source_options

# Options of every conversion: their flag, and the value that need not be given.
_COMMON = {
    "quality": ("--quality", 75),
    "image_format": ("--image-format", "keep"),
    "max_pixels": ("--max-pixels", None),
    "max_side": ("--max-side", None),
    "fit_crops": ("--fit-crops", None),
    "limit": ("--limit", None),
}


# Options of `select` and of `--fix`: their flag; a flag alone where they are true.
_LATER = {
    "keep": "--keep",
    "drop": "--drop",
    "where": "--where",
    "sample": "--sample",
    "stratify": "--stratify",
    "split_by": "--split-by",
    "seed": "--seed",
    "level": "--level",
    "ignore": "--ignore",
}


def history_commands(manifest: Manifest) -> str:
    """Return the commands that made a dataset, a line each; datasets stand there by name, raw data not at all."""
    return "\n".join(_command_of(step, manifest) for step in manifest.steps())


def _command_of(step: Step, manifest: Manifest) -> str:
    if step.command == "convert":
        return conversion_command(replace(manifest, source=step.options["source"], options=step.options, history=UNSET))
    parts = ["phi3v-data", *step.command.split(), *(each.name for each in step.inputs)]
    for name, flag in _LATER.items():
        value = step.options.get(name)
        if isinstance(value, bool):
            parts += [flag] if value else []
        else:
            parts += [part for each in _listed(value) if each is not None for part in (flag, str(each))]
    if step.options.get("ratio"):
        parts += ["--ratio", ",".join(f"{split}={share}" for split, share in step.options["ratio"].items())]
    return shlex.join(parts)


def conversion_command(manifest: Manifest) -> str:
    """Return the command line; the raw data's address, which no manifest holds, is left to the reader."""
    parts = ["phi3v-data", "convert", "--source", manifest.source, *_own(manifest), *_common(manifest.options)]
    return shlex.join(parts)


def _own(manifest: Manifest) -> Iterator[str]:
    from ..converters.registry import load_source
    from .convert import command

    try:
        options = source_options(load_source(manifest.source), {str(param.name) for param in command.params})
    except UsageError:
        # A converter of somebody's own file; the manifest does not say where that is.
        return
    for option in options:
        value = _value(manifest.options, option)
        if _listed(value) != _listed(option.default):
            yield from _given(option, value)


def _value(options: dict[str, Any], option: SourceOption) -> Any:
    value = options.get(option.field, option.default)
    return value.get(option.part, option.default) if option.part and isinstance(value, dict) else value


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _given(option: SourceOption, value: Any) -> Iterator[str]:
    flag = max(option.flag.opts, key=len)
    if isinstance(value, bool):
        yield flag if value else option.flag.secondary_opts[0]
        return
    for each in _listed(value):
        if each is not None:
            yield from (flag, str(each))


def _common(options: dict[str, Any]) -> Iterator[str]:
    for name, (flag, default) in _COMMON.items():
        value = options.get(name, default)
        if value != default:
            yield from (flag, str(value))
    if options.get("escape_tokens"):
        yield "--escape-tokens"
    if options.get("splits"):
        yield from ("--splits", ",".join(options["splits"]))
    if options.get("shard_size") is not None:
        yield from ("--shards", "--shard-size", str(options["shard_size"]))
    if not options.get("image_files", True):
        yield "--no-images"
