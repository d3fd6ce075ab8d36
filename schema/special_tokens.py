"""Special tokens in texts: found, refused, or written so that they are plain text.

A tokenizer turns `<|end|>` or `</s>` in a text into one id, whoever wrote it: a text that holds one could end a turn,
change who speaks, or show an image that is not there. This is the one check for it: of `convert`, `validate`,
`estimate` and `train`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from .record import Record, Turn

SPECIAL_TOKENS = (
    *("<unk>", "<s>", "</s>"),
    *("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>", "<|image|>"),
    *(f"<|placeholder{number}|>" for number in range(1, 40)),
)
"""Every added token of the published tokenizer (`tokenizer.json` of Phi-3-vision, ids 0-2, 32000-32044)."""

# Where an image goes; the processor looks for it before the tokenizer sees the text.
_PLACEHOLDER = r"<\|image_[0-9]+\|>"


class FoundToken(NamedTuple):
    """A special token in a record.

    Args:
        turn: number of the turn, from 1.
        field: which of its texts.
        token: the token.
    """

    turn: int
    field: Literal["user", "assistant"]
    token: str

    def __str__(self) -> str:
        remedy = "images belong in `images`" if self.token.startswith("<|image") else "convert with --escape-tokens"
        return f"turn {self.turn}, {self.field}: the text holds the special token {self.token}; remove it, or {remedy}"


class SpecialTokens:
    """The special tokens that texts are searched for.

    Args:
        tokens: such as a tokenizer's own, `list(tokenizer.get_added_vocab())`; placeholders of images are added.
    """

    def __init__(self, tokens: Iterable[str] = SPECIAL_TOKENS) -> None:
        # The longest first: where one token begins another, the whole one is meant.
        words = sorted(set(tokens), key=lambda token: (-len(token), token))
        self._pattern = re.compile("|".join([_PLACEHOLDER, *map(re.escape, words)]))

    def in_text(self, text: str) -> str:
        """Return the first special token in a text, "" where there is none."""
        found = self._pattern.search(text)
        return found.group() if found else ""

    def in_record(self, record: Record) -> Iterator[FoundToken]:
        """Yield the first special token of each text of a record that the model reads."""
        for number, turn in enumerate(record.conversations, start=1):
            if token := self.in_text(turn.user):
                yield FoundToken(number, "user", token)
            if token := self.in_text(turn.assistant):
                yield FoundToken(number, "assistant", token)

    def escape(self, text: str) -> str:
        """Write the special tokens of a text as plain text: with a space after the first character, as in `< /s>`."""
        return self._pattern.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", text)


PUBLISHED = SpecialTokens()
"""Those of the published tokenizer."""


def special_tokens_of(added: Iterable[str]) -> SpecialTokens:
    """Return the published special tokens and those that a model's own tokenizer has added.

    Args:
        added: the tokenizer's added tokens, such as `tokenizer.get_added_vocab()`.
    """
    return SpecialTokens({*SPECIAL_TOKENS, *added})


def without_special_tokens(record: Record, tokens: SpecialTokens = PUBLISHED) -> Record:
    """Return a record with its special tokens written as plain text; the record itself where it has none."""

    def plain(turn: Turn) -> Turn:
        answers = UNSET if turn.answers is UNSET else [tokens.escape(answer) for answer in turn.answers]
        return replace(turn, user=tokens.escape(turn.user), assistant=tokens.escape(turn.assistant), answers=answers)

    return replace(record, conversations=[plain(turn) for turn in record.conversations])
