"""`run.json`: what a run makes of what; and what shapes a dataset's bytes: source, options, libraries."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...schema.errors import DatasetError, UsageError
from ..base import Converter
from ..images.store import encoder_versions
from ..registry import options_of
from ..video.read import decoder_versions
from .messages import encode

_FORMAT = 3


class RunHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a run makes of what; two runs of equal headers make equal bytes."""

    source: str  # the converter's name
    options: dict[str, Any]  # its own and the engine's that shape the output, as plain values
    decoders: dict[str, str]  # the version of each library that shapes images
    input: str = ""  # the raw data's address, as given
    plan: str = ""  # the plan's digest
    # Record files of an earlier dataset here that are to be removed before the work begins; names only, for they are
    # read again from a folder that anybody may have made.
    stale: list[Annotated[str, Meta(pattern=r"^[^/\\]+\.jsonl$")]] = []

    def differences(self, earlier: RunHeader) -> list[str]:
        """List what differs from an earlier run, one phrase a difference."""
        old, new = (
            {"source": run.source, **run.options, **{f"version of {name}": run.decoders[name] for name in run.decoders}}
            for run in (earlier, self)
        )
        found = [
            f"{name} {_shown(old.get(name))} -> {_shown(new.get(name))}"
            for name in {**old, **new}
            if old.get(name) != new.get(name)
        ]
        if self.input != earlier.input:
            found.append(f"input {earlier.input} -> {self.input}")
        elif not found and self.plan != earlier.plan:
            found.append("the input no longer holds the same samples")
        return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def header_of(converter: Converter, engine: dict[str, Any]) -> RunHeader:
    """Start a run's header, without input and plan: of a converter and the engine's options that shape the output."""
    cls = type(converter)
    decoder = getattr(converter, "decoder", None)
    decoders = {**(decoder_versions(decoder) if decoder is not None else {}), **encoder_versions()}
    names = [option.name for option in options_of(cls)]
    for name in names:
        if name in engine:
            raise UsageError(f"{cls.name}: its option {name!r} has the name of an option of the engine; rename it")
    # As they are read again from the manifest, tuples as lists.
    own = {name: msgspec.json.decode(encode(getattr(converter, name))) for name in names}
    return RunHeader(source=cls.name, options={**own, **engine}, decoders=decoders)


class _HeaderFile(msgspec.Struct, frozen=True):
    """What `run.json` holds: a format, the header, and the SHA-256 of the header's JSON."""

    format: int
    sha256: str = ""
    header: msgspec.Raw = msgspec.Raw(b"{}")


def encode_header(header: RunHeader) -> bytes:
    """Return the bytes of `run.json`."""
    encoded = encode(header)
    return encode(_HeaderFile(_FORMAT, hashlib.sha256(encoded).hexdigest(), msgspec.Raw(encoded)))


def decode_header(data: bytes, where: str) -> RunHeader:
    """Read the bytes of `run.json` at the address `where`; DatasetError where it is damaged or of another version."""
    try:
        file = msgspec.json.decode(data, type=_HeaderFile)
        if file.format != _FORMAT:
            raise DatasetError(
                f"{where}: an unfinished run of another version of phi3v-data; finish it with that one, choose another "
                "--out, or start over with --restart"
            )
        if hashlib.sha256(file.header).hexdigest() != file.sha256:
            raise DatasetError(f"{where}: damaged (wrong checksum); start over with --restart")
        return msgspec.json.decode(file.header, type=RunHeader)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{where}: damaged ({error}); start over with --restart") from error
