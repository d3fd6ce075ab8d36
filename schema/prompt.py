"""From a record to ids and labels: one function, for training and for evaluation alike.

A conversation reads::

    <|user|>\\n<|image_1|>\\n<|image_2|>\\nquestion<|end|>\\n<|assistant|>\\n  answer<|end|>\\n<|user|>\\n ...
    ... <|assistant|>\\n  last answer<|end|>\\n<|endoftext|>

What stands before an answer is masked. Of an answer, all up to and including its `<|end|>` is trained on; of the last
one also the `\\n<|endoftext|>` behind it, as the recipe has it for its single turn. The answer of a turn that says
`"supervised": false` is masked, its ending too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import DatasetError
from .record import Record, Turn
from .special_tokens import PUBLISHED, SpecialTokens
from .text import PieceTokenizer, encode_prompt, image_placeholder

IGNORED = -100  # the label that torch's cross-entropy passes over

_ENDING = "<|end|>"
_LAST_ENDING = "<|end|>\n<|endoftext|>"


@dataclass(frozen=True)
class EncodedRecord:
    """A conversation as ids.

    Args:
        input_ids: the whole of it.
        labels: the same ids where they are trained on, `IGNORED` elsewhere.
        prompt_lengths: for each turn, how many ids stand before its answer.
    """

    input_ids: list[int]
    labels: list[int]
    prompt_lengths: list[int]

    def prompt(self, turn: int) -> list[int]:
        """Return the ids from which the answer of a turn (from 0) is generated, earlier answers included."""
        return self.input_ids[: self.prompt_lengths[turn]]


def encode_record(
    record: Record,
    tokenizer: PieceTokenizer,
    image_tokens: Sequence[int],
    image_token_id: int,
    special_tokens: SpecialTokens = PUBLISHED,
) -> EncodedRecord:
    """Turn a conversation into ids and labels.

    Args:
        record: the conversation.
        tokenizer: with Phi-3's special tokens.
        image_tokens: number of tokens of each of the record's images, in order.
        image_token_id: the id that stands for an image's tokens.
        special_tokens: what no text may hold.

    Raises:
        DatasetError: a text holds a special token; it would change who speaks, or which image is meant.
    """
    for found in special_tokens.in_record(record):
        raise DatasetError(f"record {record.id}, {found}")
    ids: list[int] = []
    labels: list[int] = []
    prompt_lengths = []
    remaining = list(image_tokens)
    for number, turn in enumerate(record.conversations):
        counts, remaining = remaining[: len(turn.images)], remaining[len(turn.images) :]
        if number == 0:
            question = encode_prompt(tokenizer, _question(turn), counts, image_token_id)
        else:
            # Encoding puts <s> in front; it belongs at the front of the conversation only.
            question = encode_prompt(tokenizer, "\n" + _question(turn), counts, image_token_id)[1:]
        ending = _LAST_ENDING if number == len(record.conversations) - 1 else _ENDING
        answer = tokenizer(turn.assistant + ending, add_special_tokens=False)["input_ids"]
        ids += question
        prompt_lengths.append(len(ids))
        ids += answer
        labels += [IGNORED] * len(question) + (answer if turn.is_supervised else [IGNORED] * len(answer))
    return EncodedRecord(ids, labels, prompt_lengths)


def _question(turn: Turn) -> str:
    # Ids do not carry an image's number, so each turn may count its own from 1.
    images = "".join(f"{image_placeholder(number)}\n" for number, _ in enumerate(turn.images, 1))
    return f"<|user|>\n{images}{turn.user}<|end|>\n<|assistant|>\n"
