"""From messages to the turns of a record: a question with its images, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from ...schema.errors import ItemError
from .messages import ImageRef, Message

__all__ = ["ChatTurn", "Misplaced", "Rules", "chat_turns"]

Misplaced: TypeAlias = Literal["front", "refuse"]


class ChatTurn(NamedTuple):
    """One turn: what is shown, asked and answered; the answer is "" where it is not known."""

    images: tuple[ImageRef, ...]
    user: str
    assistant: str


@dataclass(frozen=True)
class Rules:
    """What becomes of what a record has no place for.

    Args:
        system: a system message at the start is put in front of the first question, with an empty line between, or
            refused.
        marks: an image in the middle of a text moves to the front of its turn, where a record has it, or is refused.
        blank: whether a question or an answer may be blank.
    """

    system: Misplaced = "front"
    marks: Misplaced = "front"
    blank: bool = False


def chat_turns(messages: Sequence[Message], rules: Rules) -> list[ChatTurn]:
    """Pair questions and answers.

    Raises:
        ItemError: they do not alternate, one is blank, an answer shows images, or a rule refuses something.
    """
    system = ""
    if messages and messages[0].role == "system":
        first, messages = messages[0], messages[1:]
        if rules.system == "refuse":
            raise ItemError("it has a system message; give --system front to put it in front of the first question")
        if first.images:
            raise ItemError("its system message shows an image; images stand in questions")
        system = f"{first.text}\n\n" if first.text else ""
    turns = []
    for number, message in enumerate(messages):
        expected = "assistant" if number % 2 else "user"
        if message.role != expected:
            raise ItemError(
                f"message {number + 1}{' after the system message' if system else ''} is the {message.role}'s; "
                f"expected the {expected}'s, for questions and answers take turns"
            )
        _check(message, rules)
        if expected == "assistant":
            question = messages[number - 1]
            text = (system if number == 1 else "") + (question.text or "")
            turns.append(ChatTurn(question.images, text, message.text or ""))
    if not turns or len(messages) % 2:
        raise ItemError("it ends without an answer; where none is known, give one that is null")
    return turns


def _check(message: Message, rules: Rules) -> None:
    if message.role == "assistant" and message.images:
        raise ItemError("an answer shows an image; images stand in questions")
    if not message.in_front and rules.marks == "refuse":
        raise ItemError("an image stands after its text; give --marks front to move it to the front of its turn")
    if rules.blank or message.text is None:
        return
    if not message.text.strip() and not message.images:
        raise ItemError(
            "a question is blank" if message.role == "user" else "an answer is empty; null is one not known"
        )
