"""How far work is: what those who do it call, whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

Item = TypeVar("Item")

Progress: TypeAlias = Callable[[str, str, int, int], None]
"""Takes what is being done, what is counted, how many are done, and how many there are (0: not known).

Called first with what was done before the work began, so that a rate counts what this run does. What is counted in
`bytes` is shown in megabytes.
"""


def silent(what: str, unit: str, done: int, total: int) -> None:
    """Show no progress."""


def followed(
    items: Iterable[Item], progress: Progress, what: str, unit: str, total: int = 0, done: int = 0
) -> Iterator[Item]:
    """Yield items, and show how many have been taken.

    Args:
        items: what is gone through.
        progress: shows it.
        what: is being done.
        unit: the items, in the plural.
        total: how many there are, `done` included; 0 where that is not known.
        done: how many were done before.
    """
    progress(what, unit, done, total)
    for count, item in enumerate(items, start=done + 1):
        yield item
        progress(what, unit, count, total)
