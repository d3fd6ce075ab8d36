"""What shapes a dataset's bytes: the source, every option, and the libraries that decode and encode."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ...schema.errors import UsageError
from ..base import Converter
from ..images.encode import encoder_versions
from ..registry import options_of
from ..video.read import decoder_versions
from .messages import encode

__all__ = ["Settings", "settings_of"]


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
        """Say what differs from an earlier run, one phrase a difference."""
        found = []
        if self.source != earlier.source:
            found.append(f"source {earlier.source} -> {self.source}")
        for what, old, new in (
            ("", earlier.options, self.options),
            ("version of ", earlier.decoders, self.decoders),
        ):
            for name in [*old, *(n for n in new if n not in old)]:
                if old.get(name) != new.get(name):
                    found.append(f"{what}{name} {_shown(old.get(name))} -> {_shown(new.get(name))}")
        return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def settings_of(converter: Converter, engine: dict[str, Any]) -> Settings:
    """Collect a run's settings.

    Args:
        converter: built; its dataclass fields are its options.
        engine: the engine's own options that shape the output.
    """
    cls = type(converter)
    names = [option.name for option in options_of(cls)]
    for name in names:
        if name in engine:
            raise UsageError(f"{cls.name}: its option {name!r} has the name of an option of the engine; rename it")
    # As they are read again from the manifest, tuples as lists.
    own = {name: msgspec.json.decode(encode(getattr(converter, name))) for name in names}
    return Settings(source=cls.name, options={**own, **engine}, decoders=_versions(converter))


def _versions(converter: Converter) -> dict[str, str]:
    decoder = getattr(converter, "decoder", None)
    return {**(decoder_versions(decoder) if decoder is not None else {}), **encoder_versions()}
