"""What click finds wrong with a command line, in one line of this package's form: given, expected, what to do."""

from __future__ import annotations

import difflib
import re
from typing import Any

import click

from ..schema.wording import alternatives, expected_choice

_EXPECTED = (
    (click.types.IntParamType, "expected a whole number"),
    (click.types.FloatParamType, "expected a number"),
    (click.types.BoolParamType, "expected true or false"),
)


def usage_line(error: click.ClickException) -> str:
    """Describe an error of click's own, or one of a command, in one line."""
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error)
    if isinstance(error, click.exceptions.NoSuchCommand):
        return f"no command {error.command_name}; {_nearest(error)}"
    if isinstance(error, click.MissingParameter):
        return _missing(error)
    if isinstance(error, click.BadParameter):
        return _bad_value(error)
    if isinstance(error, click.BadOptionUsage):
        return _bad_option(error)
    if isinstance(error, click.UsageError) and error.message.startswith("Got unexpected extra argument"):
        return _extra_arguments(error)
    return error.format_message()


def _no_such_option(error: click.NoSuchOption) -> str:
    flag, name = error.option_name, error.option_name.lstrip("-")
    options = [option for param in error.ctx.command.params for option in param.opts] if error.ctx else []
    near = difflib.get_close_matches(name, [option.lstrip("-") for option in options], n=1)
    if near:
        return f"no option {flag}; did you mean --{near[0]}?"
    if "--set" in options and (setting := _setting(name)) is not None:
        return f"no option {flag}; give it as --set {setting}=VALUE"
    return f"no option {flag}; {_help(error.ctx)} lists them"


def _setting(name: str) -> str | None:
    """Find the setting of a training run that an option of this name would be."""
    from ..trainer.config import setting_names

    leaf = name.replace("-", "_")
    return next((setting for setting, _ in setting_names() if setting.rpartition(".")[2] == leaf), None)


def _nearest(error: click.exceptions.NoSuchCommand) -> str:
    return f"did you mean {error.possibilities[0]}?" if error.possibilities else f"{_help(error.ctx)} lists them"


def _missing(error: click.MissingParameter) -> str:
    if error.param is None:
        return error.format_message()
    if isinstance(error.param.type, click.Choice):
        return f"{_flag(error.param)} is missing: expected {alternatives(_choices(error.param.type))}"
    return f"{_flag(error.param)} is missing; {_help(error.ctx)} says what it takes"


def _bad_value(error: click.BadParameter) -> str:
    if error.param is None:
        return error.format_message()
    value, is_not, _ = error.message.partition(" is not ")
    expected = _expected(error.param.type, _bare(value), error.message) if is_not else None
    if expected is None:
        # A type of our own, whose messages begin with the value.
        return f"{_flag(error.param)} {error.message}"
    return f"{_flag(error.param)} {_bare(value).removesuffix('.0')}: {expected}"


def _expected(kind: click.ParamType[Any], given: str, message: str) -> str | None:
    if isinstance(kind, click.Choice):
        return expected_choice(given, _choices(kind))
    if isinstance(kind, (click.IntRange, click.FloatRange)) and " is not in the range" in message:
        above, below = "above" if kind.min_open else "at least", "below" if kind.max_open else "at most"
        bounds = [f"{word} {bound:g}" for word, bound in ((above, kind.min), (below, kind.max)) if bound is not None]
        return ", ".join(bounds)
    return next((expected for each, expected in _EXPECTED if isinstance(kind, each)), None)


def _bad_option(error: click.BadOptionUsage) -> str:
    if "requires" in error.message:
        return f"{error.option_name} needs a value: {error.option_name} VALUE"
    if "does not take" in error.message:
        return f"{error.option_name} takes no value; give it alone"
    return error.format_message()


def _extra_arguments(error: click.UsageError) -> str:
    found = re.search(r"\((.*)\)", error.message, re.DOTALL)
    given = " ".join(found[1].split()) if found else ""
    taken = (
        [_flag(param) for param in error.ctx.command.params if isinstance(param, click.Argument)] if error.ctx else []
    )
    takes = f"takes {' and '.join(taken)}" if taken else "takes options alone"
    command = error.ctx.info_name if error.ctx else "the command"
    return f"unexpected argument {given}: {command} {takes}; put a value with spaces in quotes"


def _flag(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        return re.sub(r"[\[\].]", "", param.metavar or "") or str(param.name).upper()
    return max(param.opts, key=len) if len(param.opts[0]) == 2 else param.opts[0]


def _help(ctx: click.Context | None) -> str:
    return f"{ctx.command_path if ctx else 'phi3v-data'} --help"


def _choices(kind: click.Choice[Any]) -> list[str]:
    return [str(choice) for choice in kind.choices]


def _bare(value: str) -> str:
    """Take the quotes of a value away, where it is told from the rest of the line without them."""
    inner = value[1:-1] if value[:1] in ("'", '"') else value
    return inner if re.fullmatch(r"[\w.+/:=,-]+", inner) else value
