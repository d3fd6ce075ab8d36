"""Images and videos that a row names: paths, lists of paths, or bytes in its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from ...schema.errors import ItemError
from .values import RowValue

__all__ = ["Shown", "media_of"]


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One image or video of a row.

    Args:
        path: in the input; "" where there is none.
        column: the column whose cell holds its bytes, "" where it is a file.
        which: its place in that cell, where it is a list.
    """

    path: str
    column: str = ""
    which: int = 0


def media_of(places: Sequence[RowValue], row: Mapping[str, Any], root: str) -> list[Shown]:
    """List what a row shows, in the order of the columns. Of several columns, empty ones are passed over.

    Args:
        places: the columns, or templates of paths.
        row: its cells.
        root: the input's address, which absolute paths may begin with.

    Raises:
        ItemError: there is nothing, something that is neither path nor bytes, or a path that leaves the input.
    """
    shown: list[Shown] = []
    for place in places:
        cell = place.of(row)
        if cell is None or cell == "" or cell == []:
            if len(places) == 1:
                raise ItemError(f"{place.option} is empty; the row shows nothing")
            continue
        parts = _listed(cell)
        shown += [_shown(place, part, which, root) for which, part in enumerate(parts)]
    if places and not shown:
        raise ItemError(f"{', '.join(place.column for place in places)} are empty; the row shows nothing")
    return shown


def _listed(cell: Any) -> list[Any]:
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        # A table of text has lists as JSON, if at all.
        try:
            return msgspec.json.decode(cell, type=list[str])
        except msgspec.DecodeError:
            return [cell]
    return cell if isinstance(cell, list) else [cell]


def _shown(place: RowValue, part: Any, which: int, root: str) -> Shown:
    if isinstance(part, dict) and part.get("bytes") is True:
        # Where the bytes turn out to be missing, the path beside them counts, if it is one in the input.
        beside = part.get("path") or ""
        return Shown("" if _trouble(beside, root) else beside, place.column, which)
    path = part.get("path") if isinstance(part, dict) else part
    if not isinstance(path, str) or not path.strip():
        raise ItemError(f"{place.option} is {str(part)[:60]}; expected a path, or bytes")
    if trouble := _trouble(path, root):
        raise ItemError(f"{path} {trouble}")
    return Shown(PurePosixPath(path.removeprefix(f"{root}/")).as_posix())


def _trouble(path: str, root: str) -> str:
    """Say why a path cannot be one in the input, "" where it can."""
    if "://" in path and not path.startswith(f"{root}/"):
        return "is an address elsewhere; download it below the input, and name it there"
    relative = PurePosixPath(path.removeprefix(f"{root}/"))
    if relative.is_absolute() or ".." in relative.parts:
        return f"lies outside the input {root}; give a folder above both as --input"
    return ""
