"""How many tokens a record has: the very ids that training makes, counted fast."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from ..prompt import IGNORED, encode_record
from ..record import Record
from ..special_tokens import special_tokens_of
from ..vision_tokens import CropGrid, VisionGeometry, crop_grid

# Prompts repeat themselves; this many pieces of text are remembered.
_REMEMBERED = 1 << 14


class ImageSettings(Protocol):
    """What is asked of an image processor: most sub-crops an image, and the sizes of crops."""

    @property
    def num_crops(self) -> int:
        """Most sub-crops an image."""

    @property
    def geometry(self) -> VisionGeometry:
        """Sizes of crops."""


class Processor(Protocol):
    """What is asked of a processor, such as `trainer.phi3v.Phi3VProcessor`."""

    @property
    def image_token_id(self) -> int:
        """The id that stands for an image's tokens."""

    @property
    def image_processor(self) -> ImageSettings:
        """How images are cut."""

    @property
    def tokenizer(self) -> Any:
        """A fast tokenizer of transformers, with its `backend_tokenizer`."""


@dataclass(frozen=True)
class Counting:
    """What a record's number of tokens follows from, beside the record and its images' sizes.

    Args:
        tokenizer: the whole of it, as the JSON of the `tokenizers` library.
        image_token_id: the id that stands for an image's tokens.
        num_crops: most sub-crops an image.
        geometry: sizes of crops.
    """

    tokenizer: str
    image_token_id: int
    num_crops: int
    geometry: VisionGeometry

    @classmethod
    def of(cls, processor: Processor) -> Counting:
        """Return what a processor counts by."""
        from tokenizers import Tokenizer

        images = processor.image_processor
        copy = Tokenizer.from_str(processor.tokenizer.backend_tokenizer.to_str())
        # Left over from whoever used it last; a count is of the whole text.
        copy.no_truncation()
        copy.no_padding()
        return cls(copy.to_str(), processor.image_token_id, images.num_crops, images.geometry)

    @property
    def digest(self) -> str:
        """SHA-256 of it, in hex."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


class TokenCounts(NamedTuple):
    """Tokens of a record: all of them, images included, and those with a label."""

    tokens: int
    supervised: int


class Counter:
    """Counts by the same function that makes the ids.

    Args:
        counting: what to count by.
    """

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._pieces = Pieces(counting.tokenizer)
        added = json.loads(counting.tokenizer)["added_tokens"]
        self._special_tokens = special_tokens_of(token["content"] for token in added)

    def grid(self, width: int, height: int) -> CropGrid:
        """Return how an image of this size in pixels is cut."""
        return crop_grid(width, height, self._counting.num_crops, self._counting.geometry)

    def tokens(self, record: Record, image_tokens: Sequence[int]) -> TokenCounts:
        """Count a record's tokens.

        Args:
            record: the conversation.
            image_tokens: number of tokens of each of its images, in order.

        Raises:
            UsageError: its texts cannot be encoded; see `encode_record`.
        """
        image = self._counting.image_token_id
        encoded = encode_record(record, self._pieces, image_tokens, image, self._special_tokens)
        supervised = sum(label != IGNORED for label in encoded.labels)
        return TokenCounts(len(encoded.input_ids), supervised)


class Pieces:
    """A tokenizer that gives pieces of text the ids that transformers' own wrapper gives, without its overhead.

    Args:
        tokenizer: the JSON of the `tokenizers` library.
    """

    def __init__(self, tokenizer: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._ids = lru_cache(_REMEMBERED)(self._encode)

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Tokenize a piece; the list is shared, and not to be changed."""
        return {"input_ids": self._ids(text, add_special_tokens)}

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids
