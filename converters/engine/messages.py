"""What driver and workers send each other, and what the journal keeps: one JSON object each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..base import Item
from ..images import ImageSettings
from ..registry import ConverterSpec

# The stages of failures that are known before any work.
PLANNED = frozenset({"discover", "plan"})


class Job(msgspec.Struct, frozen=True):
    """What a worker needs to know before its first item."""

    spec: ConverterSpec
    out: str  # address of the dataset folder
    folder: str  # in it, for the images
    images: ImageSettings
    escape_tokens: bool = False  # write special tokens in texts as plain text; else they fail their item


class Work(msgspec.Struct, frozen=True):
    """One item to convert, by its index in the plan."""

    index: int
    item: Item


class Failure(msgspec.Struct, frozen=True):
    """Why an item has no record: stage, class of the exception, and a line that is the same on every machine.

    The stages are discover, plan, open, decode, convert, encode, write, record, and worker (its process ended, or it
    took too long).
    """

    stage: str
    exception: str
    message: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """An item became a record; `sizes` are the bytes of its images, in the order the record shows them."""

    index: int
    record: msgspec.Raw
    sizes: list[int]


class Failed(msgspec.Struct, frozen=True, tag="failed", omit_defaults=True):
    """An item could not be converted; `path` and `shared` are the item's."""

    index: int
    path: str
    failure: Failure
    shared: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.failure.stage}: {self.failure.exception}: {self.failure.message})"


class Halted(msgspec.Struct, frozen=True, tag="halted"):
    """The machine failed, not the item: full disk, no memory. A later run converts the item."""

    index: int
    message: str


Outcome = Done | Failed | Halted

# Writes any message as JSON; reads what a worker answered, or what one line of the journal holds.
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
decode_outcome: Callable[[bytes], Outcome] = msgspec.json.Decoder(Outcome).decode
