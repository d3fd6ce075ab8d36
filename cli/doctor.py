"""`phi3v-data doctor`."""

from __future__ import annotations

import click

from .json_result import json_option, print_json

_MARKS = {"works": ("✓", "green"), "missing": ("·", "white"), "slow": ("!", "yellow"), "fails": ("✗", "red")}


@click.command("doctor", short_help="Show what works on this machine, and what would be faster.")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show what works on this machine, and what would be faster.

    Versions, GPUs, attention kernels, extras, the hub, disks: each with what to do about it. No network is reached.
    Exit code 1 where something fails that every command needs.
    """
    from .doctor_checks import all_checks

    groups = dict(all_checks())
    if as_json:
        print_json(groups)
    else:
        width = max(len(check.name) for checks in groups.values() for check in checks)
        for group, checks in groups.items():
            click.secho(group, bold=True)
            for check in checks:
                mark, colour = _MARKS[check.status]
                click.echo(f"  {click.style(mark, fg=colour)} {check.name:<{width}}  {check.detail}")
                if check.advice:
                    click.echo(f"    {'':<{width}}  -> {check.advice}")
    ctx.exit(1 if any(check.status == "fails" for checks in groups.values() for check in checks) else 0)
