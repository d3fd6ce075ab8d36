"""What an option takes from a row: a column, a field inside one, a text made by a template, or images and videos."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ...schema.errors import ItemError
from ..prompts import Prompts
from ..rows import Row
from ..rows.image_ref import ImageRef, Steps, path_in_input

_TEMPLATE = re.compile(r"\{\{|\{%")
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[(?:\d+|\*)\])+")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\*)\]")
_EVERY = "*"


class _Place(NamedTuple):
    """A value of a row, and where it is: its column, and the keys and indexes inside that."""

    value: Any
    column: str = ""
    steps: Steps = ()


class RowValue:
    """Where a value comes from.

    A text with `{{` or `{%` is a Jinja template. Any other is a column's name, or a path from a column to a field
    inside it: `qa.answer`, `pages[0].image`, or `pages[*].image` for that of every page. Whatever takes a value raises
    ItemError where the row has no such column or field, or lacks what the template names.

    Raises:
        UsageError: it is a template that does not parse.
    """

    def __init__(self, option: str, text: str) -> None:
        self.option = option
        self.column = "" if _TEMPLATE.search(text) else text
        self._template = None if self.column else Prompts([text])
        steps = _STEP.findall(text) if self.column and _PATH.fullmatch(text) else []
        self._path = tuple(name or (_EVERY if index == _EVERY else int(index)) for name, index in steps)

    def texts(self, row: Mapping[str, Any]) -> tuple[list[str], bool]:
        """Return the texts of a value, and whether it is a list of them. Numbers and truth values are as in JSON.

        Raises:
            ItemError: there is none, one is blank, or one is not a plain value.
        """
        values = [place.value for place in self.places(row)]
        value = values if _EVERY in self._path and self.column not in row else values[0]
        texts = [_text(self.option, part) for part in (value if isinstance(value, list) else [value])]
        if not texts:
            raise ItemError(f"{self.option} is an empty list")
        return texts, isinstance(value, list)

    def text(self, row: Mapping[str, Any]) -> str:
        """Return the one text of a value; ItemError where it is empty, or several."""
        texts, _ = self.texts(row)
        if len(texts) != 1:
            raise ItemError(f"{self.option} has {len(texts)} values; expected one")
        return texts[0]

    def places(self, row: Mapping[str, Any]) -> list[_Place]:
        """Return the value and where it is; several where the path has `[*]`."""
        if self._template is not None:
            try:
                return [_Place(self._template.render("", row))]
            except ItemError as error:
                raise ItemError(f"{self.option}: {error}") from error
        if self.column in row:
            return [_Place(row[self.column], self.column)]
        column, steps = (str(self._path[0]), self._path[1:]) if self._path else (self.column, ())
        if column not in row:
            between = next((mark for mark in (";", "\t", "|") if len(row) == 1 and mark in next(iter(row))), "")
            hint = f"give --delimiter {between!r}" if between else f"a fixed text is given as {{{{ {self.column!r} }}}}"
            raise ItemError(f"no column {column!r} for {self.option}; it has: {', '.join(row) or 'none'} ({hint})")
        found = [_Place(row[column], column)]
        for step in steps:
            found = [inner for place in found for inner in self._inside(place, step)]
        return found

    def _inside(self, place: _Place, step: str | int) -> list[_Place]:
        value, column, steps = place
        if isinstance(value, list):
            if step == _EVERY:
                return [_Place(each, column, (*steps, number)) for number, each in enumerate(value)]
            if isinstance(step, int) and step < len(value):
                return [_Place(value[step], column, (*steps, step))]
            has = f"a list of {len(value)}; give {column}[0] for the first, or {column}[*] for all"
        elif isinstance(value, dict):
            if step in value:
                return [_Place(value[str(step)], column, (*steps, step))]
            has = f"an object with {', '.join(value) or 'nothing'}"
        else:
            has = "empty" if value is None else "a single value"
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in steps)
        raise ItemError(f"{self.option} {self.column}: no {step!r} in {column}{where}, which is {has}")


def _text(what: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ItemError(f"{what} is empty")
    if not isinstance(value, str):
        raise ItemError(f"{what} is {type(value).__name__} {str(value)[:60]}; expected a text, or a list of texts")
    return value


def media_of(options: Sequence[RowValue], row: Row, root: str) -> list[ImageRef]:
    """List the images or videos that a row shows: paths, lists of paths, or bytes in its cells.

    They come in the order of the options; of several options, empty ones are passed over. Absolute paths may begin with
    the input's address, `root`.

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


def _parts(place: _Place) -> list[_Place]:
    value = place.value
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        # A table of text has lists as JSON, if at all.
        try:
            return [_Place(path) for path in msgspec.json.decode(value, type=list[str])]
        except msgspec.DecodeError:
            return [place]
    if isinstance(value, list):
        return [_Place(part, place.column, (*place.steps, number)) for number, part in enumerate(value)]
    return [place]


def _ref(option: RowValue, place: _Place, row: Row, root: str) -> ImageRef:
    value = place.value
    path = value.get("path") if isinstance(value, dict) else value
    if isinstance(value, dict) and value.get("bytes") is True:
        # The path beside a cell's bytes counts where the bytes are missing.
        try:
            beside = path_in_input(path, root) if path else ""
        except ItemError:
            beside = ""
        return ImageRef(beside, row.file, row.number, place.column, place.steps)
    if not isinstance(path, str) or not path.strip():
        raise ItemError(f"{option.option} is {str(value)[:60]}; expected a path, or bytes")
    return ImageRef(path_in_input(path, root), row.file)
