"""The structure of a JSON text that is too long to be held: its strings, brackets and commas, one after the other."""

from __future__ import annotations

import re
from typing import IO, NamedTuple

from .row import LONGEST_ROW

__all__ = ["JsonScan", "Token"]

# A whole string; the beginning of one that ends nowhere; a bracket; a comma. A string holds no line end in JSON, so an
# open one is found out on its own line.
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|["{}\[\],]')
_VISIBLE = re.compile(rb"[^ \t\r\n]")
_READ = 1 << 16


class Token(NamedTuple):
    """A piece of structure: its first character, and the bytes it takes, counted from the start of the text."""

    kind: bytes
    start: int
    stop: int


class JsonScan:
    """Walks through a JSON text. What lies behind `keep` stays in memory, and can be gone back to; nothing else does.

    Args:
        stream: the text.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._buffer = b""
        self._base = 0
        self._ended = False
        self._lines_to, self._lines = 0, 1
        self.at = 0
        self.keep: int | None = None

    def token(self) -> Token | None:
        """Return the next piece and step behind it; None at the end of the text.

        A string that ends nowhere is a token `"` of one byte.
        """
        while True:
            found = _TOKEN.search(self._buffer, self.at - self._base)
            if found is not None and not self._may_go_on(found):
                start, self.at = self._base + found.start(), self._base + found.end()
                return Token(found.group()[:1], start, self.at)
            self.at = self._base + (len(self._buffer) if found is None else found.start())
            if not self._read() and found is None:
                return None

    def byte(self) -> bytes:
        """Step to the next byte that is no white space, and return it; b"" at the end of the text."""
        while True:
            found = _VISIBLE.search(self._buffer, self.at - self._base)
            if found is not None:
                self.at = self._base + found.start()
                return found.group()
            self.at = self._base + len(self._buffer)
            if not self._read():
                return b""

    def find(self, pattern: re.Pattern[bytes], start: int) -> int | None:
        """Step to the first match behind `start`, and return where it begins; None, at the end, where there is none.

        Args:
            pattern: begins with a line end.
            start: not before `keep`.
        """
        self.at = start
        while True:
            found = pattern.search(self._buffer, self.at - self._base)
            if found is not None:
                self.at = self._base + found.start()
                return self.at
            end = self._base + len(self._buffer)
            newline = self._buffer.rfind(b"\n", self.at - self._base)
            self.at = end if newline < 0 else self._base + newline
            if not self._read():
                self.at = end
                return None

    def text(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start`, which must not lie before `keep`, to `stop`."""
        return self._buffer[start - self._base : stop - self._base]

    def line(self, at: int) -> int:
        """Return the line, from 1, of a byte. It lies behind `keep`, and behind the one last asked for."""
        self._lines += self._buffer.count(b"\n", self._lines_to - self._base, at - self._base)
        self._lines_to = at
        return self._lines

    def _may_go_on(self, found: re.Match[bytes]) -> bool:
        if found.group() != b'"' or self._ended or len(self._buffer) - found.start() > LONGEST_ROW:
            return False
        return self._buffer.find(b"\n", found.end()) < 0

    def _read(self) -> bool:
        first = self.at if self.keep is None else min(self.keep, self.at)
        if first > self._lines_to:
            self.line(first)
        kept = self._buffer[first - self._base :]
        # As much again as is kept, so that a long row is not copied for each piece of it.
        more = self._stream.read(max(_READ, len(kept)))
        self._ended = not more
        self._buffer, self._base = kept + more, first
        return bool(more)
