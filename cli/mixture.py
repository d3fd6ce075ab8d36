"""What `train`, `order` and `estimate` are given as data: DATA, or several datasets mixed by weight."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..trainer.data.sources import Source

# All else behind a colon is the address's own, as in s3://bucket. A power of ten could take for ever to write out.
_WEIGHT = re.compile(r"-?(\d{1,9}(\.\d{0,9}|/\d{1,9})?|\.\d{1,9})", re.ASCII)

mixture_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--data",
    "mixture",
    multiple=True,
    metavar="PATH[:WEIGHT]",
    help="In place of DATA, several datasets, each with its share in the samples; without weights, as large as it is.",
)


def open_sources(data: str | None, mixture: Sequence[str]) -> list[Source]:
    """Open DATA, or each `PATH[:WEIGHT]` of `--data`.

    Raises:
        click.UsageError: both were given.
        DatasetError: one of them is no dataset.
    """
    from ..schema.dataset import open_dataset, the_dataset
    from ..trainer.data.sources import Source

    if not mixture:
        return [Source(the_dataset(data))]
    if data is not None:
        raise click.UsageError(f"both DATA ({data}) and --data were given; name every dataset by --data")
    for each in mixture:
        _check_weight(each)
    parsed = [_with_weight(each) for each in mixture]
    return [Source(open_dataset(address), weight) for address, weight in parsed]


def _with_weight(given: str) -> tuple[str, Fraction | None]:
    address, _, weight = given.rpartition(":")
    try:
        return (address, Fraction(weight)) if address and _WEIGHT.fullmatch(weight) else (given, None)
    except ZeroDivisionError:
        return given, None


def _check_weight(given: str) -> None:
    """Tell a mistyped weight from the rest of an address: what stands before it is there, and the whole is not."""
    address, colon, weight = given.rpartition(":")
    found = _with_weight(given)[1]
    if found is not None and found <= 0:
        raise click.UsageError(f"--data {given}: a weight is above 0; leave out the dataset that is not to be shown")
    if colon and found is None and Path(address).exists() and not Path(given).exists():
        raise click.UsageError(f"--data {given}: {weight!r} is not a weight; expected a number such as 2, 0.5 or 1/3")
