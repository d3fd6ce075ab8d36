r"""From a row of any chat format to its messages: who says what, and which images are shown with it.

A conversation stands under `conversations` (LLaVA, ShareGPT), under `messages` (OpenAI, TRL), or in two parts under
`prompt` and `completion` (TRL). A message names who speaks under `from` or `role`, and says it under `value` or
`content`, as a text or in parts::

    {"from": "human", "value": "<image>\nWhat is this?"}
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.jpg"}},
                                 {"type": "text", "text": "What is this?"}]}

Images are named where they are shown, or in order in a list of the row, `images` (or `image`), and marked where they
are shown: by `<image>` in a text, or by a part of the type image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from ...schema.errors import ItemError
from ...schema.wording import counted
from .marks import MARK, take_marks

__all__ = ["Cell", "ImageRef", "Message", "Row", "read_messages"]

Row: TypeAlias = Mapping[str, Any]


class Cell(NamedTuple):
    """An image whose bytes lie in the row itself, as Parquet files have them: its column, its place there."""

    column: str
    which: int


# What a message shows: a path, a data: URI, or a cell of its row.
ImageRef: TypeAlias = str | Cell

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class Message(NamedTuple):
    """One message.

    Args:
        role: user, assistant or system.
        text: what is said, marks taken out; None where an answer is not known.
        images: what is shown with it, in order.
        in_front: whether every image stood in front of the text.
    """

    role: str
    text: str | None
    images: tuple[ImageRef, ...] = ()
    in_front: bool = True


class _Said(NamedTuple):
    """A message whose images may still have to be looked up in the row's list: None stands for the next of them."""

    role: str
    text: str | None
    images: list[ImageRef | None]
    in_front: bool


def read_messages(row: Row) -> list[Message]:
    """Read the messages of a row, in order.

    Raises:
        ItemError: it holds no conversation, a message is none, or images and marks do not go together.
    """
    listed = _listed_images(row)
    # Without a list that they could point to, marks are words like any other.
    marked = listed is not None or "conversations" in row
    said = [_said(number, message, marked) for number, message in enumerate(_conversation(row), start=1)]
    return _with_images(said, listed or [])


def _conversation(row: Row) -> Iterator[Any]:
    if isinstance(row.get("system"), str) and row["system"].strip():
        yield {"role": "system", "content": row["system"]}
    for key in ("conversations", "messages"):
        if key in row:
            yield from _list(row[key], key)
            return
    if "prompt" not in row or "completion" not in row:
        raise ItemError(
            "no conversation: expected the key conversations, or messages, or both prompt and completion; there is: "
            f"{', '.join(row) or 'nothing'}"
        )
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        if isinstance(row[key], str):
            yield {"role": role, "content": row[key]}
        else:
            yield from _list(row[key], key)


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ItemError(f"{key} is {_shown(value)}; expected a list of messages")
    return value


def _said(number: int, message: Any, marked: bool) -> _Said:
    where = f"message {number}"
    if not isinstance(message, dict):
        raise ItemError(f"{where} is {_shown(message)}; expected an object with who speaks and what is said")
    speaker = message.get("role", message.get("from"))
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise ItemError(f"{where} is said by {_shown(speaker)}; expected one of {', '.join(_ROLES)}")
    for key in ("tool_calls", "function_call"):
        if message.get(key):
            raise ItemError(f"{where} has {key}, for which a record has no place")
    if "content" not in message and "value" not in message:
        raise ItemError(f"{where} says nothing: expected the key content or value; there is: {', '.join(message)}")
    content = message.get("content", message.get("value"))
    if content is None and role == "assistant":
        return _Said(role, None, [], True)
    if isinstance(content, str) and marked:
        text, marks, in_front = take_marks(content)
        return _Said(role, text, [None] * marks, in_front)
    if isinstance(content, str):
        return _Said(role, content, [], True)
    if isinstance(content, list):
        return _parts(where, role, content)
    raise ItemError(f"{where} says {_shown(content)}; expected a text or a list of parts")


def _parts(where: str, role: str, parts: list[Any]) -> _Said:
    texts: list[str] = []
    images: list[ImageRef | None] = []
    in_front = True
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("image", "image_url"):
            images.append(_image(where, part))
            in_front = in_front and not any(texts)
        else:
            raise ItemError(f"{where} has the part {_shown(part)}; expected one of the type text, image or image_url")
    return _Said(role, "\n".join(texts), images, in_front)


def _image(where: str, part: Row) -> str | None:
    """Return what a part shows; None where it is the next of the row's list."""
    named = [part[key] for key in ("image_url", "image", "url", "path") if part.get(key) is not None]
    if not named and part["type"] == "image":
        return None
    value = named[0].get("url") if named and isinstance(named[0], dict) else named[0] if named else None
    if not isinstance(value, str) or not value:
        raise ItemError(f"{where} shows {_shown(part)}; expected an image's path or a data: URI")
    return value


def _listed_images(row: Row) -> list[ImageRef] | None:
    given = {key: row[key] for key in ("image", "images") if row.get(key) is not None}
    if not given:
        return None
    if len(given) > 1:
        raise ItemError("images stand under both image and images; expected one of the two")
    ((key, value),) = given.items()
    images: list[ImageRef] = []
    for which, image in enumerate(value if isinstance(value, list) else [value]):
        path = image.get("path") if isinstance(image, dict) else image
        if isinstance(image, dict) and image.get("bytes") is True:
            images.append(Cell(key, which))
        elif isinstance(path, str) and path:
            images.append(path)
        else:
            raise ItemError(f"{key} holds {_shown(image)}; expected an image's path or a data: URI")
    return images


def _with_images(said: list[_Said], listed: list[ImageRef]) -> list[Message]:
    marks = sum(image is None for message in said for image in message.images)
    if listed and not marks:
        # Nobody says where they belong: with the first question, as TRL has it.
        first = next((number for number, message in enumerate(said) if message.role == "user"), 0)
        said[first].images[:0] = [None] * len(listed)
    elif marks != len(listed):
        raise ItemError(f"{marks} {MARK} or image parts for {counted(len(listed), 'image')}; expected one for each")
    rest = iter(listed)
    return [
        Message(role, text, tuple(next(rest) if name is None else name for name in images), in_front)
        for role, text, images, in_front in said
    ]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
