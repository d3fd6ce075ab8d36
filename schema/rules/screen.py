"""Tells at a glance that many records have nothing a rule could find, so that each rule need not look at each of them.

What passes here has none of the faults named; what does not pass may have some, and is looked at rule by rule. That no
fault gets past is held by a test over mutated records.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["keys_are_single", "paths_are_plain", "texts_are_plain"]


def keys_are_single(data: bytes, keys: int, metas: bytes) -> bool:
    """Tell whether no object outside `meta` has a key twice: there are as many keys as the records have values.

    Args:
        data: the lines.
        keys: that the records read from them have, but for those inside `meta`.
        metas: what is written as `meta`, one behind the other.
    """
    if b'" ' in data or b'"\t' in data:
        return False
    return data.count(b'":') == keys + metas.count(b'":')


def texts_are_plain(data: bytes) -> bool:
    """Tell whether texts are printable ASCII without anything that begins a special token."""
    return data.isascii() and b"<" not in data and b"\\" not in data and b"\x7f" not in data


def paths_are_plain(paths: Sequence[str]) -> bool:
    """Tell whether paths are relative, with single slashes between, and never lead up."""
    joined = f"/{'/'.join(paths)}/"
    return not ("//" in joined or "/." in joined or "\\" in joined or ":" in joined or "\0" in joined)
