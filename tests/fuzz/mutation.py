"""Damage to a file: single bytes most of the time, blocks and numbers otherwise."""

from __future__ import annotations

import re
from random import Random

_NUMBERS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TEXTS = (b"-1", b"1e999", b"9" * 30, b"null", b"{}", b"[]", b'""', b"[" * 2000, b"\xff", b"\x00", b"..", b"/dev/zero")
_DIGITS = re.compile(rb"\d+")


def mutated(data: bytes, other: bytes, draw: Random) -> bytes:
    """Return a file's bytes, damaged in one to four places.

    Args:
        data: the valid file.
        other: another valid file, whose parts may be mixed in.
        draw: decides everything.
    """
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        draw.choice(_MUTATIONS)(out, other, draw)
    return bytes(out)


def _at(out: bytearray, draw: Random) -> int:
    """Draw a place; the ends of a file, where headers and footers are, are drawn as often as all between."""
    if draw.random() < 0.5 or len(out) < 512:
        return draw.randrange(len(out) + 1)
    return draw.randrange(256) if draw.random() < 0.5 else len(out) - draw.randrange(256)


def _set_byte(out: bytearray, other: bytes, draw: Random) -> None:
    at = _at(out, draw)
    out[at : at + 1] = draw.randbytes(1)


def _flip_bit(out: bytearray, other: bytes, draw: Random) -> None:
    at = _at(out, draw)
    if at < len(out):
        out[at] ^= 1 << draw.randrange(8)


def _set_number(out: bytearray, other: bytes, draw: Random) -> None:
    at, size = _at(out, draw), draw.choice((2, 4, 8))
    number = draw.choice(_NUMBERS) % (1 << 8 * size)
    out[at : at + size] = number.to_bytes(size, draw.choice(("little", "big")))


def _set_text(out: bytearray, other: bytes, draw: Random) -> None:
    """Put something else in the place of a number that is written in digits, or anywhere."""
    places = [found.span() for found in _DIGITS.finditer(out)][:10_000]
    start, stop = draw.choice(places) if places and draw.random() < 0.7 else (_at(out, draw),) * 2
    out[start:stop] = draw.choice(_TEXTS)


def _remove(out: bytearray, other: bytes, draw: Random) -> None:
    at = _at(out, draw)
    del out[at : at + draw.choice((1, 7, 64, 1000))]


def _repeat(out: bytearray, other: bytes, draw: Random) -> None:
    at = _at(out, draw)
    out[at:at] = out[at : at + draw.choice((1, 7, 64, 1000))]


def _cut_off(out: bytearray, other: bytes, draw: Random) -> None:
    del out[_at(out, draw) :]


def _mix_in(out: bytearray, other: bytes, draw: Random) -> None:
    start, at = draw.randrange(len(other) + 1), _at(out, draw)
    part = other[start : start + draw.choice((8, 64, 1000))]
    out[at : at + len(part)] = part


_MUTATIONS = (
    *(_set_byte,) * 6,
    *(_flip_bit,) * 4,
    *(_set_number,) * 2,
    *(_set_text,) * 2,
    _remove,
    _repeat,
    _cut_off,
    _mix_in,
)
