"""Images and videos that a row names: paths, lists of paths, or bytes in its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...schema.errors import ItemError
from ..rows import Row
from ..rows.image_ref import ImageRef, path_in_input
from .values import Place, RowValue

__all__ = ["media_of"]


def media_of(options: Sequence[RowValue], row: Row, root: str) -> list[ImageRef]:
    """List what a row shows, in the order of the options. Of several options, empty ones are passed over.

    Args:
        options: the columns, or templates of paths.
        row: the row.
        root: the input's address, which absolute paths may begin with.

    Raises:
        ItemError: there is nothing, something that is neither path nor bytes, or a path that leaves the input.
    """
    shown: list[ImageRef] = []
    for option in options:
        found = [part for place in option.places(row.cells()) for part in _parts(place)]
        if not found and len(options) == 1:
            raise ItemError(f"{option.option} is empty; the row shows nothing")
        shown += [_ref(option, part, row, root) for part in found]
    if options and not shown:
        raise ItemError(f"{', '.join(option.column for option in options)} are empty; the row shows nothing")
    return shown


def _parts(place: Place) -> list[Place]:
    value = place.value
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        # A table of text has lists as JSON, if at all.
        try:
            return [Place(path) for path in msgspec.json.decode(value, type=list[str])]
        except msgspec.DecodeError:
            return [place]
    if isinstance(value, list):
        return [Place(part, place.column, (*place.steps, number)) for number, part in enumerate(value)]
    return [place]


def _ref(option: RowValue, place: Place, row: Row, root: str) -> ImageRef:
    value = place.value
    if isinstance(value, dict) and value.get("bytes") is True:
        return ImageRef(_path_beside(value, root), row.file, row.number, place.column, place.steps)
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, str) or not path.strip():
        raise ItemError(f"{option.option} is {str(value)[:60]}; expected a path, or bytes")
    return ImageRef(path_in_input(path, root), row.file)


def _path_beside(cell: Mapping[str, Any], root: str) -> str:
    """Return the path beside a cell's bytes, which counts where the bytes are missing; "" where it is of no use."""
    try:
        return path_in_input(cell["path"], root) if cell.get("path") else ""
    except ItemError:
        return ""
