"""The record: one conversation, with the images each turn shows.

A record is one JSON object a line::

    {"id": "val-0000000300", "source": "ucf101",
     "conversations": [{"images": ["val/BabyCrawling/v_BabyCrawling_g21_c04.0.jpg"],
                        "user": "Classify ...", "assistant": "BabyCrawling"}],
     "meta": {"group": "g21", "frames": [0], "pts": [0.0]}}

The types below are the whole definition: what they reject, the JSON Schema published beside them
(`record.schema.json`) rejects too.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .errors import RecordError

# Segments joined by single slashes, none of them "." or "..", no backslash, no drive letter: it cannot leave images/.
_RELATIVE = r"^(?![A-Za-z]:)(?:(?!\.{1,2}/)[^/\\\u0000]+/)*(?!\.{1,2}$)[^/\\\u0000]+$"

ImagePath: TypeAlias = Annotated[
    str, Meta(pattern=_RELATIVE, description="An image's path, relative to the dataset's images/, with / between.")
]


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user shows and asks, and what the assistant answers."""

    images: Annotated[list[ImagePath], Meta(description="Images shown in this turn, in order; may be empty.")] = (
        msgspec.field(default_factory=list)
    )
    user: Annotated[str, Meta(description="The user's text.")]
    assistant: Annotated[str, Meta(description="The answer; trained on unless the turn says otherwise.")]
    answers: Annotated[
        Annotated[list[str], Meta(min_length=1)] | UnsetType,
        Meta(description="Every acceptable answer, for metrics that take the best of several."),
    ] = UNSET
    supervised: Annotated[
        bool | UnsetType, Meta(description="Whether the answer is trained on; true where it is left out.")
    ] = UNSET

    @property
    def is_supervised(self) -> bool:
        """Whether the answer is trained on."""
        return self.supervised is not False


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One conversation of a dataset.

    `meta` is free, with reserved names: `group` (what must never be split between train and test), `label`, and the
    provenance of each image (`video`, `sha256`, `frames`, `pts`).
    """

    id: Annotated[str, Meta(min_length=1, description="Unique in the dataset.")]
    source: Annotated[str | UnsetType, Meta(description="The converter that made it.")] = UNSET
    conversations: Annotated[list[Turn], Meta(min_length=1, description="The turns, in order.")]
    meta: Annotated[
        dict[str, Any] | UnsetType, Meta(description="Free; reserved: group, label, video, sha256, frames, pts.")
    ] = UNSET

    def images(self) -> Iterator[str]:
        """Every image's path, turn by turn: the order in which the model sees them."""
        for turn in self.conversations:
            yield from turn.images


_decoder = msgspec.json.Decoder(Record)
_encoder = msgspec.json.Encoder()


def decode_record(line: bytes | str) -> Record:
    """Read one JSON object as a record.

    Raises:
        RecordError: it is not valid JSON, or not a record; the message says which field.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The pattern says it exactly, and to nobody.
        reason = str(error).replace(
            f"matching regex {_RELATIVE!r}", "that is a relative path, / between, no . or .. in it"
        )
        raise RecordError(f"not a record: {reason}") from error


def encode_record(record: Record) -> bytes:
    """Write one record as a JSON object, without a line end; the same record always gives the same bytes."""
    return _encoder.encode(record)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a record, as published in `record.schema.json`."""
    schema = msgspec.json.schema(Record)
    for definition in schema["$defs"].values():
        # Python 3.13 takes a docstring's indentation away, earlier ones leave it: the published file is one.
        definition["description"] = cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "phi3v-data record",
        **schema,
    }
