"""`--ratio`: the share of each split, as `select` and `validate --fix` take it."""

from __future__ import annotations

from fractions import Fraction

import click

ratio_option = click.option(
    "--ratio", metavar="SPLIT=SHARE,...", help="Share of each split, such as train=0.9,val=0.1.  [default: as now]"
)


def shares_of(ratio: str | None, split_by: str | None) -> list[tuple[str, Fraction]] | None:
    """Return the share of each split; None where no ratio is given.

    Raises:
        click.UsageError: it is given, and nothing is divided.
        UsageError: it is not a ratio, or a split cannot be called so.
    """
    if ratio is None:
        return None
    if split_by is None:
        raise click.UsageError("--ratio says into which splits records are divided; give --split-by, too")
    from ..converters.splits import is_split_name, parse_ratios
    from ..schema.errors import UsageError

    shares = list(parse_ratios(ratio).shares)
    for split, _ in shares:
        if not is_split_name(split):
            raise UsageError(f"--ratio {ratio}: a split cannot be called {split!r}; its files are named for it")
    return shares
