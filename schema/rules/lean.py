"""A record as the rules read it: as strict as `schema.record` about its shape, and three times as fast.

The paths of images are plain text here, for the rules on files have more to say about them than a pattern, and `meta`
is left as it is written.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType


class LeanTurn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A turn; see `schema.record.Turn`."""

    user: str
    assistant: str
    images: list[str] | UnsetType = UNSET
    answers: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET
    supervised: bool | UnsetType = UNSET


class LeanRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A record; see `schema.record.Record`."""

    id: Annotated[str, Meta(min_length=1)]
    source: str | UnsetType = UNSET
    conversations: Annotated[list[LeanTurn], Meta(min_length=1)]
    meta: Raw | UnsetType = UNSET


class LeanMeta(msgspec.Struct, gc=False):
    """What the rules read of `meta`."""

    group: Any = None
    label: Any = None


_record = msgspec.json.Decoder(LeanRecord)
_meta = msgspec.json.Decoder(LeanMeta)

decode_lean = _record.decode
decode_lean_lines = _record.decode_lines
decode_meta_lines = _meta.decode_lines
