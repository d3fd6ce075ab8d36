"""`phi3v-data validate`."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("validate", short_help="Check datasets before anything is trained on them.")
@click.argument("data", nargs=-1)
@click.option(
    "--level",
    type=click.Choice(["records", "files"]),
    default="files",
    show_default=True,
    help="How deep to look: the records alone, or the header of every image, too.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to report."
)
@click.pass_context
def command(ctx: click.Context, data: tuple[str, ...], level: str, form: str) -> None:
    """Check datasets before anything is trained on them.

    DATA is a dataset folder or one split's JSONL; left out, every dataset under data/. Exit code 0: clean, 1: findings
    of severity error, 2: could not run.
    """
    from typing import cast

    from ..schema.dataset import datasets_under, open_dataset
    from ..schema.rules.validate import Level, validate

    errors = 0
    for address in data or datasets_under():
        report = validate(open_dataset(address), cast(Level, level))
        errors += report.errors
        click.echo(report.as_text() if form == "text" else report.as_json())
    ctx.exit(1 if errors else 0)
