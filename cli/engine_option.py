"""`--engine`: the place where the worker processes of a command run."""

from __future__ import annotations

import click

engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Place where workers run: this machine, or a Ray cluster (RAY_ADDRESS, or one started here).",
)
