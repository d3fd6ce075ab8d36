"""The cells of a raw row; each function raises ItemError, in one clear line, where they are not what they should be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...schema.errors import ItemError
from ...schema.wording import shortened


def cell_at(values: Mapping[str, Any], key: str) -> Any:
    """Return a cell, whatever it holds."""
    if key not in values:
        raise ItemError(f"no {key!r}; it has: {', '.join(values) or 'nothing'}")
    return values[key]


def text_at(values: Mapping[str, Any], key: str) -> str:
    """Return a text unchanged; a blank one is an error."""
    return _text(cell_at(values, key), repr(key))


def texts_at(values: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of texts, of at least one, none of them blank."""
    found = cell_at(values, key)
    if not isinstance(found, list) or not found:
        raise ItemError(f"{key!r} is {shortened(found)}; expected a list of texts")
    return [_text(text, f"{key}[{number}]") for number, text in enumerate(found)]


def name_at(values: Mapping[str, Any], key: str) -> str:
    """Return what something is called by: a text, or a number as one."""
    found = cell_at(values, key)
    return str(found) if type(found) is int else _text(found, repr(key))


def is_identified(pattern: re.Pattern[str], values: Mapping[str, Any]) -> bool:
    """Tell whether a row has an identifier of this form."""
    return pattern.fullmatch(str(values.get("identifier"))) is not None


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ItemError(f"{what} is {shortened(value)}; expected a text")
    if not value.strip():
        raise ItemError(f"{what} is empty")
    return value
