"""A source's options as options of the command line: made from the annotations of its fields."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import click
import msgspec

from ..converters.registry import Option, options_of
from ..converters.video.sampling import Sampling, Strategy

# The parts of an option `sampling`, each with a flag of its own.
_SAMPLING: dict[str, tuple[str, Any, str]] = {
    "frames": ("frames", click.INT, "Number of frames taken from a video."),
    "sampling": ("strategy", click.Choice(get_args(Strategy)), "Which frames are taken."),
    "fps": ("fps", click.FLOAT, "Frames taken from a second of video, with --sampling fps."),
    "jitter": ("jitter", click.BOOL, "Take a random frame of each part, for training splits."),
    "seed": ("seed", click.INT, "Seed of what is drawn: the jitter, splits by ratio, one of several prompts."),
}


@dataclass(frozen=True)
class SourceOption:
    """One flag and where its value goes.

    Args:
        flag: the click option.
        field: the option of the source.
        part: the part of that option's value, "" for the whole.
        default: what holds where the flag is not given, as a plain value; None for nothing.
    """

    flag: click.Option
    field: str
    part: str
    default: Any


def source_options(cls: type[Any], taken: set[str]) -> list[SourceOption]:
    """Make the flags of a source's options.

    Args:
        cls: the converter.
        taken: names of the command's own parameters; an option of the source of the same name has no flag, and is
            reached by --set alone.
    """
    made: list[SourceOption] = []
    for option in options_of(cls):
        for new in _parts_of_sampling(option) if _bare(option.type) is Sampling else _one_flag(option):
            if new.flag.name not in taken and new.flag.name not in {known.flag.name for known in made}:
                made.append(new)
    return made


def source_values(
    cls: type[Any], options: list[SourceOption], given: Mapping[str, Any], settings: Mapping[str, str]
) -> dict[str, Any]:
    """Gather what was given for a source, option by option.

    Args:
        cls: the converter.
        options: its flags.
        given: the values by the flags' names, which go before settings; what is None or empty was not given.
        settings: texts by option or by flag, as --set takes them.
    """
    several = {option.name for option in options_of(cls) if _click_type(option.type)[1]}
    flags = {str(option.flag.name): option for option in options}
    values: dict[str, Any] = {}
    for key, text in settings.items():
        name = key.replace("-", "_")
        flag = flags.get(name)
        if flag is not None and flag.part:
            values[flag.field] = {**values.get(flag.field, {}), flag.part: text}
        else:
            values[name] = [text] if name in several else text
    for option in options:
        value = given.get(str(option.flag.name))
        if value is None or value == ():
            continue
        if option.part:
            values[option.field] = {**values.get(option.field, {}), option.part: value}
        else:
            values[option.field] = value
    return values


def value_in(unbound: object, option: SourceOption) -> Any:
    """Return an option's value in a source that was built, as a plain value."""
    value = msgspec.to_builtins(getattr(unbound, option.field))
    return value[option.part] if option.part else value


def _parts_of_sampling(option: Option) -> Iterator[SourceOption]:
    parts = option.default or {}
    for name, (part, kind, text) in _SAMPLING.items():
        yield SourceOption(_flag(name, kind, text + _default_note(parts.get(part))), option.name, part, parts.get(part))


def _one_flag(option: Option) -> Iterator[SourceOption]:
    kind, is_many = _click_type(option.type)
    if kind is not None:
        text = option.help[:1].upper() + option.help[1:].rstrip(".") + "." if option.help else "See the source."
        note = "  [required]" if option.is_required else _default_note(option.default)
        flag = _flag(option.name, kind, text + (" May be given several times." if is_many else "") + note, is_many)
        yield SourceOption(flag, option.name, "", option.default)


def _flag(name: str, kind: click.ParamType[Any], text: str, is_many: bool = False) -> click.Option:
    dashed = f"--{name.replace('_', '-')}"
    # A value that was not given stays unknown here: the default is the source's own.
    if isinstance(kind, click.types.BoolParamType):
        return click.Option([f"{dashed}/--no-{dashed[2:]}"], default=None, help=text)
    return click.Option([dashed], type=kind, multiple=is_many, help=text)


def _default_note(default: Any) -> str:
    if default is None or default is False or default in ("", (), []):
        return ""
    shown = ", ".join(map(repr, default)) if isinstance(default, (tuple, list)) else default
    return f"  [default: {shown}]"


def _bare(hint: Any) -> Any:
    """Return a type without its annotation, and without None."""
    hint = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    if get_origin(hint) in (Union, types.UnionType):
        others = [part for part in get_args(hint) if part is not type(None)]
        return _bare(others[0]) if len(others) == 1 else hint
    return hint


def _click_type(hint: Any) -> tuple[click.ParamType[Any] | None, bool]:
    """Return what the command line takes for a type, and whether it takes several; None where a flag cannot say it."""
    kind = _bare(hint)
    if get_origin(kind) in (tuple, list):
        return _click_type(get_args(kind)[0])[0], True
    if get_origin(kind) is Literal:
        return click.Choice([str(choice) for choice in get_args(kind)]), False
    bounds = _bounds(hint)
    if kind is bool:
        return click.BOOL, False
    if kind is int:
        return (click.IntRange(**bounds) if bounds else click.INT), False
    if kind is float:
        return (click.FloatRange(**bounds) if bounds else click.FLOAT), False
    return (click.STRING, False) if kind is str else (None, False)


def _bounds(hint: Any) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if get_origin(hint) in (Union, types.UnionType):
        return {name: bound for part in get_args(hint) for name, bound in _bounds(part).items()}
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta):
            for name, click_name in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
                if getattr(meta, name) is not None:
                    bounds[click_name] = getattr(meta, name)
                    bounds |= {f"{click_name}_open": True} if name in ("gt", "lt") else {}
    return bounds
