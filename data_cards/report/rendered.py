"""The prompt of a record as text: what is masked, what is supervised, where images stand.

It comes from `schema.prompt.encode_record`, the function that training uses, by a tokenizer that makes one id of each
character: which characters have a label is then what that function says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

from ...schema.errors import UsageError
from ...schema.prompt import IGNORED, encode_record
from ...schema.record import Record

SpanKind = Literal["masked", "supervised", "image", "start", "unreadable"]

# Characters are their own ids; these two are none.
_START = -1
_IMAGE = -2


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a prompt.

    Args:
        kind: `masked` or `supervised` text, an `image`, the `start` token `<s>`; `unreadable`: it makes no prompt.
        text: as the tokenizer gets it; of an image, its place among the record's images, from 0.
    """

    kind: SpanKind
    text: str | int


class _Characters:
    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": _codes(text, add_special_tokens)}


@lru_cache(1024)  # prompts repeat themselves
def _codes(text: str, starts: bool) -> list[int]:
    """Return an id a character; the list is shared, and not to be changed."""
    return [*([_START] if starts else []), *map(ord, text)]


_characters = _Characters()


def rendered(record: Record) -> list[Span]:
    """Return the prompt of a record, piece by piece; of one that makes none, its plain turns and why."""
    images = sum(1 for _ in record.images())
    try:
        encoded = encode_record(record, _characters, [1] * images, _IMAGE)
    except UsageError as error:
        return [Span("unreadable", f"{error}")] + [
            Span("unreadable", f"{role}: {text}")
            for turn in record.conversations
            for role, text in (("user", turn.user), ("assistant", turn.assistant))
        ]
    ids = np.array(encoded.input_ids, dtype=np.int64)
    # What a character is: 0 masked, 1 supervised; images and <s> are cut out below, each a piece of its own.
    kinds = (np.array(encoded.labels, dtype=np.int64) != IGNORED).astype(np.int64)
    alone = ids < 0
    starts = (
        np.flatnonzero(np.concatenate([[True], (kinds[1:] != kinds[:-1]) | alone[1:] | alone[:-1]]))
        if len(ids)
        else np.empty(0, dtype=np.int64)
    )
    spans: list[Span] = []
    seen = 0
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=True):
        if ids[first] == _IMAGE:
            spans.append(Span("image", seen))
            seen += 1
        elif ids[first] == _START:
            spans.append(Span("start", "<s>"))
        else:
            text = "".join(map(chr, ids[first:end].tolist()))
            spans.append(Span("supervised" if kinds[first] else "masked", text))
    return spans
