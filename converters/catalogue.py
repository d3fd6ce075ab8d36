"""What sources there are, for people: the built-in ones and those of installed packages, broken ones among them."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from ..schema.errors import UsageError
from .registry import built_in_sources, load_source, options_of, package_of, plug_ins

__all__ = ["ListedSource", "listed_sources"]


class ListedSource(NamedTuple):
    """One source.

    Args:
        name: as `--source` takes it.
        package: the installed package that brings it, "" for a built-in one.
        converter: its class, None where it cannot be used.
        fault: why it cannot be used, "" where it can.
    """

    name: str
    package: str
    converter: type[Any] | None
    fault: str = ""

    @property
    def summary(self) -> str:
        """The first line of what it says of itself."""
        return (inspect.getdoc(self.converter) or "").partition("\n")[0] if self.converter else ""


def listed_sources() -> list[ListedSource]:
    """List every source by name. One that cannot be loaded, or whose name is taken, has a fault, and hides no other."""
    listed = [_listed(name, "") for name in built_in_sources()]
    by_name = {source.name: "phi3v-data" for source in listed}
    for point in plug_ins():
        package = package_of(point)
        used = by_name.setdefault(point.name, package)
        if used == package:
            listed.append(_listed(point.name, package))
        else:
            listed.append(ListedSource(point.name, package, None, f"the source of this name is that of {used}"))
    return sorted(listed, key=lambda source: (source.name, source.package))


def _listed(name: str, package: str) -> ListedSource:
    try:
        converter = load_source(name)
        options_of(converter)
    except UsageError as error:
        return ListedSource(name, package, None, " ".join(str(error).split()))
    return ListedSource(name, package, converter)
