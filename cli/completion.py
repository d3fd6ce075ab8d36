"""`phi3v-data completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion", short_help="Print what makes a shell complete commands, options and values.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and values.

    \b
    bash  in ~/.bashrc: eval "$(phi3v-data completion bash)"
    zsh   in ~/.zshrc: eval "$(phi3v-data completion zsh)"
    fish  in ~/.config/fish/completions/phi3v-data.fish: phi3v-data completion fish | source
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell}: click knows no completion for it")
    script = kind(ctx.find_root().command, {}, "phi3v-data", "_PHI3V_DATA_COMPLETE").source()
    click.echo(script)
