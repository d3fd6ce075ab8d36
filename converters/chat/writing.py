"""From a record to a row of each format, as its own tools read it; and the mark `<image>` in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec import UNSET

from ...schema.errors import UsageError
from ...schema.record import Record, Turn

__all__ = ["FORMATS", "MARK", "OWN_KEY", "Format", "put_marks", "take_marks"]

# Where an image is shown.
MARK = "<image>"
_JOINED = re.compile(rf"(\s?){MARK}(\r\n|\s)?")
_LEADING = re.compile(rf"(?:\s*{MARK})*")

# Where a row has what no other key of its format would hold.
OWN_KEY = "phi3v"

_Row = dict[str, Any]


def put_marks(text: str, number: int) -> str:
    """Put marks in front of a text, each on a line of its own; `take_marks` gives the text back."""
    return f"{MARK}\n" * number + text


def take_marks(text: str) -> tuple[str, int, bool]:
    """Take the marks out of a text, each with the space or line end after it; where none follows, the one before.

    Returns:
        The text without its marks, how many there were, and whether all stood in front of it.
    """
    leading = _LEADING.match(text)
    in_front = MARK not in text[leading.end() if leading else 0 :]
    return _JOINED.sub(lambda found: found[1] if found[2] else "", text), text.count(MARK), in_front


class Format(NamedTuple):
    """One format: the suffix of its files (.json holds an array, .jsonl a row a line), and how a row is made.

    `row` takes a record and a function that turns an image's name into the path that the row gives it.
    """

    suffix: str
    row: Callable[[Record, Callable[[str], str]], _Row]


def _llava(record: Record, path: Callable[[str], str]) -> _Row:
    names = [path(name) for name in record.images()]
    image = {"image": names[0] if len(names) == 1 else names} if names else {}
    return {"id": record.id, **image, "conversations": _marked(record), **_own(record)}


def _sharegpt(record: Record, path: Callable[[str], str]) -> _Row:
    names = [path(name) for name in record.images()]
    return {"id": record.id, "conversations": _marked(record), "images": names, **_own(record)}


def _openai(record: Record, path: Callable[[str], str]) -> _Row:
    def shown(name: str) -> _Row:
        return {"type": "image_url", "image_url": {"url": path(name)}}

    return {"id": record.id, "messages": _in_parts(record, shown, answers_in_parts=False), **_own(record)}


def _trl(record: Record, path: Callable[[str], str]) -> _Row:
    messages = _in_parts(record, lambda _: {"type": "image"}, answers_in_parts=True)
    return {"id": record.id, "messages": messages, "images": [path(name) for name in record.images()], **_own(record)}


FORMATS = {
    "llava": Format(".json", _llava),
    "sharegpt": Format(".json", _sharegpt),
    "openai": Format(".jsonl", _openai),
    "trl": Format(".jsonl", _trl),
}


def _marked(record: Record) -> list[_Row]:
    for turn in record.conversations:
        if MARK in turn.user or MARK in turn.assistant:
            raise UsageError(
                f"the record {record.id!r} has {MARK} in a text, which this format would take for an image; "
                "give --format openai or trl"
            )
    return [
        message
        for turn in record.conversations
        for message in (
            {"from": "human", "value": put_marks(turn.user, len(turn.images))},
            {"from": "gpt", "value": turn.assistant or None, **_weight(turn)},
        )
    ]


def _in_parts(record: Record, shown: Callable[[str], _Row], *, answers_in_parts: bool) -> list[_Row]:
    def answer(turn: Turn) -> str | list[_Row] | None:
        if not turn.assistant:
            return None
        return [{"type": "text", "text": turn.assistant}] if answers_in_parts else turn.assistant

    def both(turn: Turn) -> Iterator[_Row]:
        asked = [{"type": "text", "text": turn.user}] if turn.user or not turn.images else []
        yield {"role": "user", "content": [*map(shown, turn.images), *asked]}
        yield {"role": "assistant", "content": answer(turn), **_weight(turn)}

    return [message for turn in record.conversations for message in both(turn)]


def _weight(turn: Turn) -> _Row:
    """Return OpenAI's key for an answer that is not trained on; the readers of the other formats pass it over."""
    return {} if turn.is_supervised else {"weight": 0}


def _own(record: Record) -> _Row:
    own: _Row = {name: value for name in ("source", "meta") if (value := getattr(record, name)) is not UNSET}
    if any(turn.answers is not UNSET for turn in record.conversations):
        own["answers"] = [None if turn.answers is UNSET else turn.answers for turn in record.conversations]
    return {OWN_KEY: own}
