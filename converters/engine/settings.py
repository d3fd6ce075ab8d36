"""What shapes a dataset's bytes: the source, every option, and the libraries that decode and encode; and `run.json`."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...schema.errors import DatasetError, UsageError
from ..base import Converter
from ..images.encode import encoder_versions
from ..registry import options_of
from ..video.read import decoder_versions
from .messages import encode

__all__ = ["RunHeader", "Settings", "decode_header", "encode_header", "settings_of"]

_FORMAT = 2


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset was made with; two runs with equal settings and input give equal bytes.

    Args:
        source: the converter's name.
        options: its own options and the engine's that shape the output, as plain values.
        decoders: the version of each library that shapes images.
    """

    source: str
    options: dict[str, Any]
    decoders: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the options, in hex."""
        return hashlib.sha256(msgspec.json.encode(self.options, order="sorted")).hexdigest()

    def differences(self, earlier: Settings) -> list[str]:
        """List what differs from an earlier run, one phrase a difference."""
        return [
            f"{what}{name} {_shown(old.get(name))} -> {_shown(new.get(name))}"
            for what, old, new in (
                ("", {"source": earlier.source}, {"source": self.source}),
                ("", earlier.options, self.options),
                ("version of ", earlier.decoders, self.decoders),
            )
            for name in {**old, **new}
            if old.get(name) != new.get(name)
        ]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


class RunHeader(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what the unfinished run makes of what.

    Args:
        settings: what shapes the output.
        input: the raw data's address, as given.
        plan: the plan's digest.
        stale: record files of an earlier dataset here that are to be removed before the work begins; names only, for
            they are read again from a folder that anybody may have made.
    """

    settings: Settings
    input: str
    plan: str
    stale: list[Annotated[str, Meta(pattern=r"^[^/\\]+\.jsonl$")]] = []

    def differences(self, earlier: RunHeader) -> list[str]:
        """List what differs from an earlier run, one phrase a difference."""
        found = self.settings.differences(earlier.settings)
        if self.input != earlier.input:
            found.append(f"input {earlier.input} -> {self.input}")
        elif not found and self.plan != earlier.plan:
            found.append("the input no longer holds the same samples")
        return found


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
    """Read the bytes of `run.json`, which lie at the address `where`.

    Raises:
        DatasetError: it is not as it was written, or of another version.
    """
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


def settings_of(converter: Converter, engine: dict[str, Any]) -> Settings:
    """Collect a run's settings.

    Args:
        converter: built; its dataclass fields are its options.
        engine: the engine's own options that shape the output.
    """
    cls = type(converter)
    decoder = getattr(converter, "decoder", None)
    decoders = {**(decoder_versions(decoder) if decoder is not None else {}), **encoder_versions()}
    names = [option.name for option in options_of(cls)]
    for name in names:
        if name in engine:
            raise UsageError(f"{cls.name}: its option {name!r} has the name of an option of the engine; rename it")
    # As they are read again from the manifest, tuples as lists.
    own = {name: msgspec.json.decode(encode(getattr(converter, name))) for name in names}
    return Settings(source=cls.name, options={**own, **engine}, decoders=decoders)
