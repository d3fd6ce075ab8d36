"""The entry point: finds the command, and turns every error raised on purpose into one line and an exit code."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from typing import NoReturn

import click

from .. import __version__
from ..schema.errors import Phi3VDataError
from .signals import ignore_further_signals, stop_code
from .usage_line import usage_line

# The summaries are repeated here so that `--help` need not import the commands; a test holds them equal.
COMMANDS = {
    "convert": "Turn a source into a dataset folder.",
    "sources": "List the sources and their options, or start one.",
    "validate": "Check datasets before anything is trained on them.",
    "select": "Make a dataset from datasets: keep, drop, sample, split again, join.",
    "rules": "List the validator's rules, or explain one.",
    "train": "Fine-tune a model on a dataset.",
    "evaluate": "Evaluate a model on a dataset, and write every answer out.",
    "predict": "Print a model's answer to one question.",
    "export": "Write a model or a run as a folder that others can serve.",
    "export-data": "Write a dataset as LLaVA, ShareGPT, OpenAI or TRL files.",
    "recipes": "List the named runs, or their results beside the published ones.",
    "card": "Write the card of a dataset or a run: README.md for people and for the hub.",
    "report": "Write pages about a dataset or runs, to look at without a network.",
    "push": "Upload a dataset or a model to the hub; private by default.",
    "doctor": "Show what works on this machine, and what would be faster.",
    "completion": "Print what makes a shell complete commands, options and values.",
    "order": "Print the record ids of each optimizer step.",
    "estimate": "Estimate a run: tokens, steps, memory of a GPU for every strategy.",
    "demo": "Go the whole way on generated clips: convert, validate, train, evaluate.",
}

# What a path that was given causes, and hardly ever a mistake of ours.
_OF_PATHS = (PermissionError, NotADirectoryError, IsADirectoryError)


_HELP_OPTIONS = ["-h", "--help"]


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {cmd_name}; {hint}")
        return load_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def load_command(name: str) -> click.Command:
    """Import one of COMMANDS."""
    command: click.Command = importlib.import_module(f"..{name.replace('-', '_')}", __name__).command
    # Click remembers the help option of the first context that a command is used in, which may have no group above it.
    command.context_settings.setdefault("help_option_names", _HELP_OPTIONS)
    return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": _HELP_OPTIONS, "max_content_width": 120})
@click.version_option(__version__, prog_name="phi3v-data")
def _group() -> None:
    """Prepare vision-language data, and fine-tune Phi-3-vision / Phi-3.5-vision on it.

    \b
    phi3v-data convert --source ucf101 --frames 8
    phi3v-data validate
    phi3v-data train
    """


def main() -> None:
    """Run the command line and exit.

    Codes: 0 done, 1 failed half-way or findings, 2 bad usage or input, 130 interrupted, 143 terminated.
    """
    if os.environ.get("PHI3V_DEBUG") == "1":
        sys.exit(run_command(sys.argv[1:]))
    _exit(answer(sys.argv[1:]))


def _exit(code: int) -> NoReturn:
    torch = sys.modules.get("torch")
    if code and torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        # The threads of a process group that an error left open abort the interpreter's own exit now and then.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command as if it had been typed, and return its exit code; errors are raised, not printed."""
    code = _group.main(arguments, prog_name="phi3v-data", standalone_mode=False)
    return code if isinstance(code, int) else 0


def answer(arguments: list[str]) -> int:
    """Run one command, print an error as one line, and return the exit code."""
    try:
        return run_command(arguments)
    except Phi3VDataError as error:
        return _fail(" ".join(str(error).split("\n")), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.ClickException as error:
        return _fail(usage_line(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        ignore_further_signals()
        code = stop_code(error)
        if os.environ.get("RANK", "0") != "0":
            # torchrun ends the others when one has exited, and that one has said why.
            return code
        return _fail(f"{'terminated' if code == 143 else 'interrupted'}; what was done so far is kept", code)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail_of_machine(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence; PHI3V_DEBUG=1 lets it through
        return _fail(_unexpected(error), 1)


def _fail_of_machine(error: OSError) -> int:
    """Answer an error of the disk or of a permission that no command foresaw."""
    from ..storage.outage import outage

    try:
        sys.stdout.flush()
    except OSError:
        # It cannot be written; without this, the interpreter would complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if (reason := outage(error)) is not None:
        return _fail(f"{reason}; fix that and rerun", 1)
    if isinstance(error, _OF_PATHS) and error.filename is not None:
        return _fail(f"{os.fsdecode(error.filename)}: {error.strerror}; check the path and its permissions", 2)
    return _fail(_unexpected(error), 1)


def _unexpected(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"unexpected {type(error).__name__}: {first}; PHI3V_DEBUG=1 shows where it comes from"


def _fail(message: str, code: int) -> int:
    """Print why this process ends; of several that train together and all find the same, one does."""
    if "RANK" in os.environ:
        from ..trainer.launch import first_process_reports, write_error_file

        if first_process_reports(os.environ, code):
            return 0
        write_error_file(os.environ, f"phi3v-data: {message}")
    click.echo(f"phi3v-data: {message}", err=True)
    return code
