"""A `.json` file: one document with an array of rows in it, or JSON lines after all."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

import msgspec

from ...storage import Folder
from .json_lines import read_json_lines
from .json_scan import JsonScan
from .row import LONGEST_ROW, Row, decoded_row, other_encoding

__all__ = ["read_json"]

_CLOSING = {b"{": b"}", b"[": b"]"}
_LONGEST_FIRST_LINE = 1 << 20
_DATA = b'"data"'
_BOM = b"\xef\xbb\xbf"


def read_json(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of a document, or of JSON lines. A broken row is a fault, and the next is looked for behind it."""
    with folder.open(name) as stream:
        start = stream.read(4)
    if encoding := other_encoding(start):
        yield Row(f"{name}:1", 0, None, encoding)
    elif _is_lines(folder, name):
        yield from read_json_lines(folder, name)
    else:
        yield from _read_document(folder, name)


def _is_lines(folder: Folder, name: str) -> bool:
    """Tell whether the file's lines are objects by themselves, looking at the first two that are not empty.

    A document may be a single line, so no more of a line is read than a row is likely to have. An only line is a row if
    no rows lie in it.
    """
    lines: list[bytes] = []
    with folder.open(name) as stream:
        while len(lines) < 2 and (line := stream.readline(_LONGEST_FIRST_LINE)):
            if text := line.removeprefix(_BOM).strip():
                lines.append(text)
    if len(lines) == 1:
        return _is_object(lines[0]) and not _arrays_of_objects(JsonScan(io.BytesIO(lines[0])))
    if not lines or not lines[0].startswith(b"{"):
        return False
    return _is_object(lines[0]) or (not lines[0].endswith((b"{", b"[", b",")) and _is_object(lines[1]))


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _read_document(folder: Folder, name: str) -> Iterator[Row]:
    found = _find_array(folder, name)
    if isinstance(found, Row):
        yield found
        return
    with folder.open(name) as stream:
        scan = _scanned(stream)
        while scan.at < found.begin:
            scan.token()
        yield from _Elements(scan, name, after=found.after).rows()


def _scanned(stream: IO[bytes]) -> JsonScan:
    """Scan a text from behind its byte order mark, where it has one."""
    if stream.read(len(_BOM)) != _BOM:
        stream.seek(0)
    return JsonScan(stream)


class _Array(NamedTuple):
    """An array of rows: its key, where it begins (behind its bracket), what may follow its end."""

    key: bytes
    begin: int
    after: tuple[bytes, ...]


def _find_array(folder: Folder, name: str) -> _Array | Row:
    """Find the one array of rows in a document; the answer is a fault where there is none, or several."""
    with folder.open(name) as stream:
        scan = _scanned(stream)
        first = scan.byte()
        place = f"{name}:{scan.line(scan.at)}"
        if first == b"[":
            return _Array(b"", scan.at + 1, (b"",))
        if first != b"{":
            return Row(place, 0, None, 'no JSON document; expected [{...}, ...] or {"data": [{...}, ...]}')
        arrays = _arrays_of_objects(scan)
    chosen = [array for array in arrays if array.key == _DATA] or arrays
    if not chosen:
        return Row(place, 0, None, 'no array of rows in it; expected [{...}, ...] or {"data": [{...}, ...]}')
    if len(chosen) > 1:
        keys = ", ".join(array.key.decode("utf-8", "replace") for array in chosen)
        return Row(place, 0, None, f"rows lie under {keys}; keep the right ones in a file of their own")
    return chosen[0]


def _arrays_of_objects(scan: JsonScan) -> list[_Array]:
    """List the arrays directly inside an object whose first element is an object, or that are its empty data."""
    arrays: list[_Array] = []
    depth, key = 0, b""
    while (token := scan.token()) is not None:
        if token.kind in b"{[":
            depth += 1
            first = scan.byte() if depth == 2 and token.kind == b"[" else b""
            if first == b"{" or (first == b"]" and key == _DATA):
                arrays.append(_Array(key, token.stop, (b"}", b',"')))
        elif token.kind in b"}]":
            depth -= 1
            if depth == 0:
                break
        elif depth == 1 and token.kind == b'"' and token.stop - token.start < 1000:
            key = scan.text(token.start, token.stop)
    return arrays


class _Elements:
    """The elements of an array, one after the other.

    Args:
        scan: stands behind the array's opening bracket.
        name: the file's.
        after: what may follow the array's closing bracket, b"" for the end of the file.
    """

    def __init__(self, scan: JsonScan, name: str, after: tuple[bytes, ...]) -> None:
        self._scan = scan
        self._name = name
        self._after = after
        self._last_line = 0
        self._ends_early = True

    def rows(self) -> Iterator[Row]:
        """Yield each element as a row or a fault, up to the array's end."""
        number = 0
        while True:
            gap = self._scan.keep = self._scan.at
            first = self._scan.byte()
            if first in (b"]", b""):
                break
            if first == b",":
                self._scan.at += 1
                continue
            row = self._element(number, next_one=_next_one(self._scan.text(gap, self._scan.at)))
            yield row
            number += 1
        place = self._place(self._scan.at, number)
        if first == b"":
            if self._ends_early:
                yield Row(place, number, None, "the file ends within the array of rows; is it complete?")
            return
        self._scan.at += 1
        follows = self._scan.byte()
        if follows == b",":
            self._scan.at += 1
            follows += self._scan.byte()
        if follows not in self._after:
            yield Row(place, number, None, "the array of rows ends here, but not the file: rows behind it are left out")

    def _element(self, number: int, next_one: re.Pattern[bytes]) -> Row:
        start = self._scan.at
        place = self._place(start, number)
        stop = self._end_of_element()
        if stop is not None:
            text = self._scan.text(start, stop)
            row = decoded_row(place, number, text)
            if row.values is None and (other := next_one.search(text)):
                self._scan.at = start + other.start()
            return row
        self._scan.keep = None
        if self._scan.find(next_one, start) is not None:
            return Row(place, number, None, "no JSON (its brackets or quotes do not close)")
        self._ends_early = False
        return Row(place, number, None, "no JSON (its brackets or quotes do not close), and no row is found behind it")

    def _place(self, at: int, number: int) -> str:
        line = self._scan.line(at)
        is_first, self._last_line = line != self._last_line, line
        return f"{self._name}:{line}" if is_first else f"{self._name}:{line}, row {number}"

    def _end_of_element(self) -> int | None:
        """Step behind the element, and return where it ends; None where its structure is broken."""
        open_brackets: list[bytes] = []
        start = self._scan.at
        while (token := self._scan.token()) is not None and token.stop - start < LONGEST_ROW:
            if token.kind in b"{[":
                open_brackets.append(_CLOSING[token.kind])
            elif token.kind in b"}]":
                if not open_brackets and token.kind == b"]":
                    self._scan.at = token.start
                    return token.start
                if not open_brackets or open_brackets.pop() != token.kind:
                    return None
            elif token.kind == b"," and not open_brackets:
                return token.start
            elif token.kind == b'"' and token.stop - token.start == 1:
                return None
        return None


def _next_one(gap: bytes) -> re.Pattern[bytes]:
    """Return what the next element looks like: an object on a line of its own, indented as the one behind this gap."""
    _, newline, indent = gap.rpartition(b"\n")
    return re.compile(rb"\n%s(?=\{)" % (indent if newline else rb"[ \t]*"))
