"""Prompts become ids. No pixels, no tensors.

A text is split at its placeholders `<|image_1|>`, `<|image_2|>` ...; each piece is tokenized on its own with `<s>` in
front, so that `<s>` also follows every image: the model was trained so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from .errors import UsageError
from .wording import counted

_PLACEHOLDER = re.compile(r"<\|image_([0-9]+)\|>")


class PieceTokenizer(Protocol):
    """What is asked of a tokenizer: `tokenizer(text)["input_ids"]`, with `<s>` in front."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """Tokenize one piece, without `<s>` where that is not wanted."""


def image_placeholder(number: int) -> str:
    """What stands in a text where image `number` (from 1) goes."""
    return f"<|image_{number}|>"


def image_numbers(text: str) -> list[int]:
    """The numbers of the placeholders in a text, in its order."""
    return [int(number) for number in _PLACEHOLDER.findall(text)]


def encode_prompt(
    tokenizer: PieceTokenizer, text: str, image_token_counts: Sequence[int], image_token_id: int
) -> list[int]:
    """Tokenize a text with images in it.

    Args:
        tokenizer: gives a piece's ids with `<s>` in front.
        text: with placeholders 1, 2 ... in this order, one for each image.
        image_token_counts: number of tokens of each image.
        image_token_id: stands for an image, as often as its count says.

    Raises:
        UsageError: the placeholders are not 1 to the number of images, or a piece of text holds the image token.
    """
    expected = list(range(1, len(image_token_counts) + 1))
    found = image_numbers(text)
    if found != expected:
        raise UsageError(
            f"{counted(len(expected), 'image')}, placeholders numbered {found} in the text: write <|image_1|>, "
            "<|image_2|> ... once for each image, in the order of the images"
        )
    # The pattern has a group, so the numbers lie between the pieces.
    pieces = _PLACEHOLDER.split(text)[::2]
    ids: list[int] = []
    for piece, count in zip(pieces, [*image_token_counts, 0], strict=True):
        of_piece = tokenizer(piece)["input_ids"]
        if image_token_id in of_piece:
            raise UsageError(f"the text holds the image token itself (id {image_token_id}): take it out of {piece!r}")
        ids += of_piece
        ids += [image_token_id] * count
    return ids
