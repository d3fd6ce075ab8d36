"""From a record to a row of each format, as its own tools read it; and the mark `<image>` in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import UNSET

from ...schema.errors import UsageError
from ...schema.layout import IMAGES
from ...schema.record import Record, Turn

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
    """One format: the suffix of its files (.json holds an array, .jsonl a row a line), and what its rows have.

    `content` takes a record and the paths of its images.
    """

    suffix: str
    content: Callable[[Record, list[str]], _Row]

    def row(self, record: Record) -> _Row:
        """Make a record's row."""
        content = self.content(record, [f"{IMAGES}/{name}" for name in record.images()])
        own: _Row = {name: value for name in ("source", "meta") if (value := getattr(record, name)) is not UNSET}
        if any(turn.answers is not UNSET for turn in record.conversations):
            own["answers"] = [None if turn.answers is UNSET else turn.answers for turn in record.conversations]
        return {"id": record.id, **content, OWN_KEY: own}


def _llava(record: Record, paths: list[str]) -> _Row:
    image = {"image": paths[0] if len(paths) == 1 else paths} if paths else {}
    return {**image, "conversations": _marked(record)}


def _marked(record: Record) -> list[_Row]:
    messages: list[_Row] = []
    for turn in record.conversations:
        if MARK in turn.user or MARK in turn.assistant:
            raise UsageError(
                f"the record {record.id!r} has {MARK} in a text, which this format would take for an image; "
                "give --format openai or trl"
            )
        messages.append({"from": "human", "value": put_marks(turn.user, len(turn.images))})
        messages.append({"from": "gpt", "value": turn.assistant or None, **_weight(turn)})
    return messages


def _in_parts(record: Record, *, with_paths: bool) -> list[_Row]:
    """Make OpenAI's messages, or those of TRL, whose images are listed beside them, and whose answers are in parts."""
    messages: list[_Row] = []
    for turn in record.conversations:
        urls = [{"type": "image_url", "image_url": {"url": f"{IMAGES}/{name}"}} for name in turn.images]
        shown = urls if with_paths else [{"type": "image"}] * len(urls)
        asked = [{"type": "text", "text": turn.user}] if turn.user or not turn.images else []
        answer = turn.assistant if with_paths else [{"type": "text", "text": turn.assistant}]
        messages.append({"role": "user", "content": [*shown, *asked]})
        messages.append({"role": "assistant", "content": answer if turn.assistant else None, **_weight(turn)})
    return messages


def _weight(turn: Turn) -> _Row:
    """Return OpenAI's key for an answer that is not trained on; the readers of the other formats pass it over."""
    return {} if turn.is_supervised else {"weight": 0}


FORMATS = {
    "llava": Format(".json", _llava),
    "sharegpt": Format(".json", lambda record, paths: {"conversations": _marked(record), "images": paths}),
    "openai": Format(".jsonl", lambda record, _: {"messages": _in_parts(record, with_paths=True)}),
    "trl": Format(".jsonl", lambda record, paths: {"messages": _in_parts(record, with_paths=False), "images": paths}),
}
