"""A command whose options grow by those of the source it is given."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

import click

from ..schema.errors import UsageError
from .config_file import as_yaml, read_config, settings_from
from .source_options import SourceOption, source_options, source_values, value_in
from .usage_line import usage_line

_OPTIONS = "phi3v_data.source_options"
_TITLE = "phi3v_data.source_title"
_UNKNOWN = "phi3v_data.unknown_source"


class SourceCommand(click.Command):
    """Looks for --source and --config first; then every option of that source is one of the command's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; see click. Values of a file of options stand behind those of the command line."""
        path = _value_of("config", args)
        content = read_config(path) if path else {}
        self._learn_source(ctx, _value_of("source", args) or content.get("source"))
        if path and _UNKNOWN in ctx.meta:
            raise ctx.meta[_UNKNOWN]
        if path:
            ctx.default_map = settings_from(path, content, _options(super().get_params(ctx), ctx))
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _better(error, ctx, self.get_params(ctx)) from None
        except click.BadParameter as error:
            name = error.param.name if error.param else None
            if path and name in (ctx.default_map or {}) and ctx.get_parameter_source(str(name)) != _COMMAND_LINE:
                raise UsageError(f"{path}: {usage_line(error)}") from None
            raise

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's options, and those of the source."""
        return [*super().get_params(ctx), *(option.flag for option in ctx.meta.get(_OPTIONS, ()))]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the source under a heading of their own."""
        if _UNKNOWN in ctx.meta:
            raise ctx.meta[_UNKNOWN]
        sections = [("Options", super().get_params(ctx))]
        sections += [(ctx.meta[_TITLE], [option.flag for option in ctx.meta[_OPTIONS]])] if _TITLE in ctx.meta else []
        for title, params in sections:
            rows = [row for param in params if (row := param.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _learn_source(self, ctx: click.Context, source: Any) -> None:
        if not isinstance(source, str):
            return
        from ..converters.registry import load_source

        try:
            cls = load_source(source)
            options = source_options(cls, {str(param.name) for param in super().get_params(ctx)})
        except UsageError as error:
            # It is raised when the command runs; until then, nothing is known of its options.
            ctx.meta[_UNKNOWN] = error
            return
        ctx.meta[_OPTIONS] = options
        ctx.meta[_TITLE] = f"Options of {cls.name} ({(inspect.getdoc(cls) or '').partition(chr(10))[0].rstrip('.')})"


_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE


def given_for_source(
    ctx: click.Context, cls: type[Any], given: dict[str, Any], settings: dict[str, str]
) -> dict[str, Any]:
    """Return the options of a source that were given, by field; those given as --set come after the others.

    Raises:
        click.UsageError: --set names an option of the command itself.
    """
    from ..converters.registry import options_of

    own = {str(param.name): param.opts[0] for param in ctx.command.params if isinstance(param, click.Option)}
    for name, text in settings.items():
        flag = own.get(name.replace("-", "_"))
        if flag is not None and name.replace("-", "_") not in {option.name for option in options_of(cls)}:
            raise click.UsageError(f"--set {name}={text}: give it as {flag} {text}; --set is for options of the source")
    return source_values(cls, ctx.meta.get(_OPTIONS, []), given, settings)


def effective_yaml(ctx: click.Context, unbound: object) -> str:
    """Write every option that holds, those of the source as it has them, as a file for --config.

    Args:
        ctx: of the command.
        unbound: the source, built from what was given.
    """
    options: list[SourceOption] = ctx.meta.get(_OPTIONS, [])
    values = {name: value for name, value in ctx.params.items() if value not in (None, ())}
    values |= {str(option.flag.name): value_in(unbound, option) for option in options}
    # What a flag says has no need of --set any more.
    flagged = {option.field for option in options}
    pairs = (pair.split("=", 1) for pair in ctx.params["settings"] or ())
    values["settings"] = {name: text for name, text in pairs if name not in flagged}
    return as_yaml(_options(ctx.command.get_params(ctx)), values)


def _options(params: Sequence[click.Parameter], ctx: click.Context | None = None) -> list[click.Option]:
    more: list[SourceOption] = ctx.meta.get(_OPTIONS, []) if ctx else []
    return [param for param in params if isinstance(param, click.Option)] + [option.flag for option in more]


def _value_of(name: str, args: Sequence[str]) -> str | None:
    """Return what an option is given on a command line that is not parsed yet: the last one counts."""
    found = None
    for number, argument in enumerate(args):
        if argument == f"--{name}" and number + 1 < len(args):
            found = args[number + 1]
        elif argument.startswith(f"--{name}="):
            found = argument.partition("=")[2]
    return found


def _better(error: click.NoSuchOption, ctx: click.Context, params: list[click.Parameter]) -> Exception:
    """Say of an unknown option which one is near, or what the source takes."""
    if _UNKNOWN in ctx.meta:
        unknown: Exception = ctx.meta[_UNKNOWN]
        return unknown
    near = difflib.get_close_matches(error.option_name, [opt for param in params for opt in param.opts], n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif _OPTIONS in ctx.meta:
        own = ", ".join(opt for option in ctx.meta[_OPTIONS] for opt in option.flag.opts)
        hint = f"this source takes: {own or 'none'}"
    else:
        hint = "options of a source need --source NAME"
    return click.UsageError(f"no option {error.option_name}; {hint}", ctx)
