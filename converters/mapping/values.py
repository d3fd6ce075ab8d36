"""What is taken from a row: a column by its name, or a text made by a template over all columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...schema.errors import ItemError
from ..prompts import Prompts

__all__ = ["RowValue", "texts_of"]

_TEMPLATE = re.compile(r"\{\{|\{%")


class RowValue:
    """Where a value comes from: a text with `{{` or `{%` is a Jinja template, any other is a column's name.

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

    def of(self, row: Mapping[str, Any]) -> Any:
        """Return the value in a row, as it stands.

        Raises:
            ItemError: the row has no such column, or lacks what the template names.
        """
        if self._template is not None:
            try:
                return self._template.render("", row)
            except ItemError as error:
                raise ItemError(f"{self.option}: {error}") from error
        if self.column not in row:
            raise ItemError(
                f"no column {self.column!r} for {self.option}; it has: {', '.join(row) or 'none'} (a fixed text is "
                f"given as {{{{ {self.column!r} }}}})"
            )
        return row[self.column]

    def text(self, row: Mapping[str, Any]) -> str:
        """Return the value as a text that is not blank.

        Raises:
            ItemError: as `of`; or it is empty, or no single value.
        """
        texts = texts_of(self.option, self.of(row))
        if len(texts) != 1:
            raise ItemError(f"{self.option} has {len(texts)} values; expected one")
        return texts[0]


def texts_of(what: str, value: Any) -> list[str]:
    """Return a value, or a list of them, as texts that are not blank. Numbers and truth values are written as in JSON.

    Raises:
        ItemError: there is none, one is blank, or one is no plain value.
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
