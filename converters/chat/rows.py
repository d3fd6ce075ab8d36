"""From a row of any chat format to what a record says, and what came with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from ...schema.errors import ItemError
from .messages import read_messages
from .turns import ChatTurn, Rules, chat_turns
from .writing import OWN_KEY

__all__ = ["ChatRow", "read_chat"]

# Keys that are read here; every other one of a row becomes part of its record's meta.
_READ = {"id", "conversations", "messages", "prompt", "completion", "image", "images", "system"}


class ChatRow(NamedTuple):
    """One conversation.

    Args:
        id: its own, "" where it has none.
        turns: what is asked and answered.
        answers: every acceptable answer of each turn, None where a turn has one alone.
        source: where the record came from, "" where the row does not say.
        meta: what else the row holds.
    """

    id: str
    turns: list[ChatTurn]
    answers: list[list[str] | None]
    source: str | UnsetType
    meta: dict[str, Any] | UnsetType


class _Own(msgspec.Struct, forbid_unknown_fields=True):
    """What a record has beyond the format; see `writing`."""

    source: str | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET
    answers: list[list[str] | None] | UnsetType = UNSET


def read_chat(row: Mapping[str, Any], rules: Rules, source: str) -> ChatRow:
    """Read a row of any format.

    Args:
        row: its values.
        rules: what becomes of what a record has no place for.
        source: the record's, where the row was not made of one.

    Raises:
        ItemError: it is no conversation, or a rule refuses it.
    """
    given = row.get("id")
    if given is not None and (isinstance(given, bool) or not isinstance(given, (str, int)) or given == ""):
        raise ItemError(f"its id is {given!r}; expected a text or a whole number")
    own = _own(row)
    turns = chat_turns(read_messages(row), replace(rules, blank=own is not None))
    if own is None:
        own = _Own(source, {key: value for key, value in row.items() if key not in _READ} or UNSET)
    no_answers: list[list[str] | None] = [None] * len(turns)
    answers = no_answers if own.answers is UNSET else own.answers
    if len(answers) != len(turns):
        raise ItemError(f"{OWN_KEY}.answers are of {len(answers)} turns; there are {len(turns)}")
    return ChatRow("" if given is None else str(given), turns, answers, own.source, own.meta)


def _own(row: Mapping[str, Any]) -> _Own | None:
    if OWN_KEY not in row:
        return None
    try:
        return msgspec.convert(row[OWN_KEY], _Own)
    except msgspec.ValidationError as error:
        raise ItemError(f"the key {OWN_KEY} is not as export-data writes it ({error})") from error
