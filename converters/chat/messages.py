r"""From a row of any chat format to its messages: who speaks, the text, and which images are shown with it.

A conversation is under `conversations` (LLaVA, ShareGPT), under `messages` (OpenAI, TRL), in two parts under `prompt`
and `completion` (TRL), or is a question with its answer: `instruction`, `input` and `output` (Alpaca), `query` and
`response`. A message names its speaker under `from` or `role`, and its text under `value` or `content`, as a text or in
parts::

    {"from": "human", "value": "<image>\nWhat is this?"}
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.jpg"}},
                                 {"type": "text", "text": "What is this?"}]}

Images are named where they are shown, or in order in a list of the row, `images` (or `image`), and marked where they
are shown: by `<image>` in a text, or by a part of the type image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...schema.errors import ItemError
from ...schema.wording import counted, shortened
from ..rows import Row
from ..rows.image_ref import ImageRef, path_in_input

# Where an image is shown.
MARK = "<image>"
_JOINED = re.compile(rf"(\s?){MARK}(\r\n|\s)?")
_LEADING = re.compile(rf"(?:\s*{MARK})*")
# What a row is read by; every other key becomes part of its record's meta.
_ALWAYS_READ = frozenset({"id", "conversations", "messages", "prompt", "completion", "image", "images", "system"})
# The question of a row that is one question and its answer, and what else is read of it, the answer first.
_QUESTIONS = {"instruction": ("output", "input", "history"), "query": ("response", "history")}

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_ROLES |= {"system": "system", "developer": "system"}
# What says of an answer whether it is trained on: OpenAI's weight, and what others call it.
_WEIGHTS = ("weight", "loss", "train")


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


class Message(NamedTuple):
    """One message, of a user, an assistant or the system."""

    role: str
    text: str | None  # marks taken out; None where an answer is not known
    images: tuple[ImageRef | None, ...] = ()  # what it shows, in order; None stands for the next of the row's list
    in_front: bool = True  # whether every image stood in front of the text
    supervised: bool = True  # whether it is trained on, where it is an answer


def read_messages(row: Row) -> list[Message]:
    """Read the messages of a row, in order; none of their images is None.

    Raises:
        ItemError: it holds no conversation, a message is not one, images and marks do not go together, or it shows what
            a record cannot.
    """
    values = row.cells()
    for key in ("video", "videos", "audio", "audios"):
        if values.get(key):
            raise ItemError(f"it has {key}, and a record shows images alone; leave it out, or store frames as images")
    listed = _listed_images(row, values)
    # Without a list that they could point to, marks are words like any other.
    marked = listed is not None or "conversations" in values
    messages = [_message(number, message, marked) for number, message in enumerate(_conversation(values), start=1)]
    return _with_images(messages, listed or [])


def unread_keys(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row holds besides its conversation and its images."""
    question = _question(row)
    read = _ALWAYS_READ.union({question, *_QUESTIONS[question]} if question else ())
    return {key: value for key, value in row.items() if key not in read}


def _conversation(row: dict[str, Any]) -> Iterator[Any]:
    if isinstance(row.get("system"), str) and row["system"].strip():
        yield {"role": "system", "content": row["system"]}
    if found := [key for key in ("conversations", "messages") if key in row]:
        yield from _list(row[found[0]], found[0])
    elif "prompt" in row and "completion" in row:
        for key, role in (("prompt", "user"), ("completion", "assistant")):
            yield from [{"role": role, "content": row[key]}] if isinstance(row[key], str) else _list(row[key], key)
    elif question := _question(row):
        yield from _question_and_answer(row, question)
    else:
        raise ItemError(
            "no conversation: expected the key conversations, or messages, or one of the pairs prompt and completion, "
            f"instruction and output, query and response; there is: {', '.join(row) or 'nothing'}"
        )


def _question_and_answer(row: dict[str, Any], question: str) -> Iterator[dict[str, Any]]:
    for pair in row.get("history") or ():
        if not isinstance(pair, list) or len(pair) != 2:
            raise ItemError(f"history holds {shortened(pair)}; expected pairs of a question and its answer")
        yield {"role": "user", "content": pair[0]}
        yield {"role": "assistant", "content": pair[1]}
    more = row.get("input") if question == "instruction" else None
    parts = [row[question], more] if more else [row[question]]
    if not all(isinstance(part, str) for part in parts):
        raise ItemError(f"{question} is {shortened(parts)}; expected a text")
    yield {"role": "user", "content": "\n".join(parts)}
    yield {"role": "assistant", "content": row[_QUESTIONS[question][0]]}


def _question(row: dict[str, Any]) -> str:
    """Return the key of the question where a row is one question and its answer, else ""."""
    if {"conversations", "messages"} & row.keys() or {"prompt", "completion"} <= row.keys():
        return ""
    return next((question for question, (answer, *_) in _QUESTIONS.items() if {question, answer} <= row.keys()), "")


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ItemError(f"{key} is {shortened(value)}; expected a list of messages")
    return value


def _message(number: int, message: Any, marked: bool) -> Message:
    where = f"message {number}"
    if not isinstance(message, dict):
        raise ItemError(f"{where} is {shortened(message)}; expected an object with a speaker and a text")
    speaker = message.get("role", message.get("from"))
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise ItemError(f"{where} is by {shortened(speaker)}; expected one of {', '.join(_ROLES)}")
    for key in ("tool_calls", "function_call"):
        if message.get(key):
            raise ItemError(f"{where} has {key}, for which a record has no place")
    if "content" not in message and "value" not in message:
        raise ItemError(f"{where} has no text: expected the key content or value; there is: {', '.join(message)}")
    content = message.get("content", message.get("value"))
    supervised = _is_supervised(where, message)
    if content is None and role == "assistant":
        return Message(role, None, supervised=supervised)
    if isinstance(content, list):
        return _parts(where, role, content)._replace(supervised=supervised)
    if not isinstance(content, str):
        raise ItemError(f"{where} is {shortened(content)}; expected a text or a list of parts")
    text, marks, in_front = take_marks(content) if marked else (content, 0, True)
    return Message(role, text, (None,) * marks, in_front, supervised)


def _is_supervised(where: str, message: dict[str, Any]) -> bool:
    for key in _WEIGHTS:
        weight = message.get(key)
        if weight is not None and weight not in (0, 1):
            raise ItemError(f"{where} has the {key} {shortened(weight)}; an answer is trained on (1) or not (0)")
        if weight is not None:
            return bool(weight)
    return True


def _parts(where: str, role: str, parts: list[Any]) -> Message:
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
            raise ItemError(
                f"{where} has the part {shortened(part)}; expected one of the type text, image or image_url"
            )
    return Message(role, "\n".join(texts), tuple(images), in_front)


def _image(where: str, part: dict[str, Any]) -> ImageRef | None:
    """Return what a part shows; None where it is the next of the row's list."""
    named = [part[key] for key in ("image_url", "image", "url", "path") if part.get(key) is not None]
    if not named and part["type"] == "image":
        return None
    value = named[0].get("url") if named and isinstance(named[0], dict) else named[0] if named else None
    if not isinstance(value, str) or not value:
        raise ItemError(f"{where} shows {shortened(part)}; expected an image's path or a data: URI")
    return ImageRef(path_in_input(value))


def _listed_images(row: Row, values: dict[str, Any]) -> list[ImageRef] | None:
    given = [key for key in ("image", "images") if values.get(key) is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ItemError("images are under both image and images; expected one of the two")
    key, value = given[0], values[given[0]]
    images: list[ImageRef] = []
    for which, image in enumerate(value if isinstance(value, list) else [value]):
        path = image.get("path") if isinstance(image, dict) else image
        if isinstance(image, dict) and image.get("bytes") is True:
            images.append(ImageRef("", row.file, row.number, key, (which,) if isinstance(value, list) else ()))
        elif isinstance(path, str) and path:
            images.append(ImageRef(path_in_input(path)))
        else:
            raise ItemError(f"{key} holds {shortened(image)}; expected an image's path or a data: URI")
    return images


def _with_images(messages: list[Message], listed: list[ImageRef]) -> list[Message]:
    marks = sum(image is None for message in messages for image in message.images)
    if listed and not marks:
        # Nobody says where they belong: with the first question, as TRL has it.
        first = next((number for number, message in enumerate(messages) if message.role == "user"), 0)
        messages[first] = messages[first]._replace(images=(*listed, *messages[first].images))
        return messages
    if marks != len(listed):
        raise ItemError(f"{marks} {MARK} or image parts for {counted(len(listed), 'image')}; expected one for each")
    rest = iter(listed)
    return [
        message._replace(images=tuple(next(rest) if image is None else image for image in message.images))
        for message in messages
    ]
