"""Reading a bit stream's fields, first bit first."""

from __future__ import annotations

from .picture import Unproved

__all__ = ["Bits"]


class Bits:
    """The fields of some bytes, taken one after another.

    Args:
        data: the bytes; fields never reach beyond them.
    """

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, width: int) -> int:
        """Take an unsigned number of `width` bits."""
        self._left -= width
        if self._left < 0:
            raise Unproved("a header ends early")
        return self._value >> self._left & (1 << width) - 1

    def golomb(self) -> int:
        """Take an unsigned Exp-Golomb code: as many zeros as bits follow the next one; its value less one."""
        ahead = self._value & (1 << self._left) - 1
        zeros = self._left - ahead.bit_length()
        self.take(zeros)
        return self.take(zeros + 1) - 1

    def signed_golomb(self) -> int:
        """Take a signed Exp-Golomb code: 0, 1, -1, 2, -2 ..."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)
