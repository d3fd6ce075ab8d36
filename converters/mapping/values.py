"""What an option takes from a row: a column, a field inside one, or a text made by a template over all columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...schema.errors import ItemError
from ..prompts import Prompts
from ..rows.image_ref import Steps

__all__ = ["Place", "RowValue", "texts_of"]

_TEMPLATE = re.compile(r"\{\{|\{%")
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[(?:\d+|\*)\])+")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\*)\]")
_EVERY = "*"


class Place(NamedTuple):
    """A value of a row, and where it is: its column, and the keys and indexes inside that."""

    value: Any
    column: str = ""
    steps: Steps = ()


class RowValue:
    """Where a value comes from.

    A text with `{{` or `{%` is a Jinja template. Any other is a column's name, or a path from a column to a field
    inside it: `qa.answer`, `pages[0].image`, or `pages[*].image` for that of every page.

    Args:
        option: the option it was given for, as people know it.
        text: the option's value.

    Raises:
        UsageError: it is a template that does not parse.
    """

    def __init__(self, option: str, text: str) -> None:
        self.option = option
        self.column = "" if _TEMPLATE.search(text) else text
        self._template = None if self.column else Prompts([text])
        self._path = _parsed(text) if self.column and _PATH.fullmatch(text) else ()

    def of(self, row: Mapping[str, Any]) -> Any:
        """Return the value in a row; a list where the path has `[*]`.

        Raises:
            ItemError: the row has no such column or field, or lacks what the template names.
        """
        values = [place.value for place in self.places(row)]
        return values if _EVERY in self._path and self.column not in row else values[0]

    def places(self, row: Mapping[str, Any]) -> list[Place]:
        """Return the value and where it is; several where the path has `[*]`.

        Raises:
            ItemError: as `of`.
        """
        if self._template is not None:
            try:
                return [Place(self._template.render("", row))]
            except ItemError as error:
                raise ItemError(f"{self.option}: {error}") from error
        if self.column in row:
            return [Place(row[self.column], self.column)]
        column, steps = (str(self._path[0]), self._path[1:]) if self._path else (self.column, ())
        if column not in row:
            between = next((mark for mark in (";", "\t", "|") if len(row) == 1 and mark in next(iter(row))), "")
            hint = f"give --delimiter {between!r}" if between else f"a fixed text is given as {{{{ {self.column!r} }}}}"
            raise ItemError(f"no column {column!r} for {self.option}; it has: {', '.join(row) or 'none'} ({hint})")
        found = [Place(row[column], column)]
        for step in steps:
            found = [inner for place in found for inner in self._inside(place, step)]
        return found

    def text(self, row: Mapping[str, Any]) -> str:
        """Return the value as a text that is not blank.

        Raises:
            ItemError: as `of`; or it is empty, or not a single value.
        """
        texts = texts_of(self.option, self.of(row))
        if len(texts) != 1:
            raise ItemError(f"{self.option} has {len(texts)} values; expected one")
        return texts[0]

    def _inside(self, place: Place, step: str | int) -> list[Place]:
        value, column, steps = place
        if isinstance(value, list):
            if step == _EVERY:
                return [Place(each, column, (*steps, number)) for number, each in enumerate(value)]
            if isinstance(step, int) and step < len(value):
                return [Place(value[step], column, (*steps, step))]
            has = f"a list of {len(value)}; give {column}[0] for the first, or {column}[*] for all"
        elif isinstance(value, dict):
            if step in value:
                return [Place(value[str(step)], column, (*steps, step))]
            has = f"an object with {', '.join(value) or 'nothing'}"
        else:
            has = "empty" if value is None else "a single value"
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in steps)
        raise ItemError(f"{self.option} {self.column}: no {step!r} in {column}{where}, which is {has}")


def texts_of(what: str, value: Any) -> list[str]:
    """Return a value, or a list of them, as texts that are not blank. Numbers and truth values are written as in JSON.

    Raises:
        ItemError: there is none, one is blank, or one is not a plain value.
    """
    texts = [_text(what, part) for part in (value if isinstance(value, list) else [value])]
    if not texts:
        raise ItemError(f"{what} is an empty list")
    return texts


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


def _parsed(path: str) -> tuple[str | int, ...]:
    return tuple(name or (_EVERY if index == _EVERY else int(index)) for name, index in _STEP.findall(path))
