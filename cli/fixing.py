"""`phi3v-data validate --fix`: its options, and what it prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..schema.wording import counted
from .card import write_card_of
from .progress import show_progress
from .split_ratio import ratio_option, shares_of

if TYPE_CHECKING:
    from ..schema.dataset import Dataset
    from ..schema.rules.rule import Finding
    from ..schema.rules.settings import Settings
    from ..schema.select.fixing import Fixed

FIX_OPTIONS = ("fix", "out", "split_by", "ratio", "seed")
"""The names under which `fix_options` are passed on."""

_OPTIONS = (
    click.option("--fix", is_flag=True, help="Write a clean copy, and validate it."),
    click.option(
        "--out", metavar="DIR", help="Folder that --fix writes to.  [default: in place, moving aside what was there]"
    ),
    click.option(
        "--split-by", type=click.Choice(["group"]), help="With --fix: divide into splits so that nothing leaks."
    ),
    ratio_option,
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of --split-by."),
)


def fix_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of --fix."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def fix_all(
    datasets: list[tuple[str, Dataset]],
    settings: Settings,
    quiet: bool,
    *,
    wanted: Callable[[Finding], bool],
    fix: bool,
    out: str | None,
    split_by: str | None,
    ratio: str | None,
    seed: int,
) -> tuple[str, ...]:
    """Write a clean copy of each dataset, and return the addresses of the copies; only wanted findings count.

    Raises:
        UsageError: an option cannot work.
    """
    from ..schema.errors import UsageError
    from ..schema.select.fixing import fix as fix_one

    shares = shares_of(ratio, split_by)
    if out is not None and len(datasets) > 1:
        raise UsageError(f"--out {out}: one folder for {len(datasets)} datasets; fix them one by one")
    addresses = []
    for address, dataset in datasets:
        with show_progress(quiet) as progress:
            fixed = fix_one(
                address,
                dataset,
                settings,
                out,
                wanted=wanted,
                split_by_group=split_by is not None,
                shares=shares,
                seed=seed,
                progress=progress,
            )
        for line in _lines(fixed):
            click.echo(line, err=True)
        write_card_of(fixed.address)
        addresses.append(fixed.address)
    return tuple(addresses)


def _lines(fixed: Fixed) -> list[str]:
    from ..schema.rules.registry import all_rules

    rules = all_rules()
    step = fixed.manifest.steps()[-1]
    lines = [
        f"{fixed.address}: {counted(step.read, 'record')} read = {step.selected:,} written + "
        f"{step.quarantined:,} quarantined"
    ]
    lines += [f"  repaired {code} {rules[code].name}: {count}" for code, count in sorted(fixed.repaired.items())]
    lines += [f"  quarantined {code} {rules[code].name}: {count}" for code, count in sorted(fixed.quarantined.items())]
    if fixed.splitting is not None:
        lines += [f"  {line}" for line in fixed.splitting.lines()]
    if fixed.aside:
        lines.append(f"  what was there is in {fixed.aside}")
    return lines
