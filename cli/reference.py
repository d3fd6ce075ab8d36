"""The reference of the command line, as a Markdown page: `python -m phi3v_data.cli.reference > docs/cli.md`."""

from __future__ import annotations

import click

from .main import COMMANDS, load_command

_EXIT_CODES = """\
| exit code | means |
| --- | --- |
| 0 | done; of `validate`: no finding of severity error |
| 1 | the work failed half-way, and what was done is kept; of `validate`: findings |
| 2 | what was given cannot work: one line says what was given, what was expected, and what to do |
| 130, 143 | stopped by Ctrl-C or SIGTERM; the same command resumes |
"""


def reference() -> str:
    """Return the page."""
    parts = [
        "# The command line\n\n"
        "Every command takes `--help`. `python -m phi3v_data` is the same as `phi3v-data`. With `PHI3V_DEBUG=1` an\n"
        "error shows its traceback.\n\n"
        "What takes long shows how far it is, with rate and time left: a bar on a terminal, a line every half minute\n"
        "elsewhere, nothing with `--quiet`. `--json` prints the result of a command as one JSON object on standard\n"
        "output, and everything else on standard error. `validate --json` prints an object a finding, the summary\n"
        "last.\n",
        _EXIT_CODES,
        "\n".join(f"- [`{name}`](#{name}): {summary}" for name, summary in COMMANDS.items()) + "\n",
    ]
    for name in COMMANDS:
        parts += _described(name, load_command(name))
    return "\n".join(parts)


def _described(name: str, command: click.Command) -> list[str]:
    context = click.Context(
        command,
        info_name=f"phi3v-data {name}",
        max_content_width=100,
        terminal_width=100,
        help_option_names=["-h", "--help"],
    )
    parts = [f"## {name}\n", f"```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                parts += _described(f"{name} {child}", found)
    return parts


if __name__ == "__main__":
    click.echo(reference(), nl=False)
