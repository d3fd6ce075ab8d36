"""JSON lines, one object a line; and a `.json` file: one document with an array of rows in it, or JSON lines after all.

A document is copied into a temporary file, which is mapped into memory and split into the texts of its rows; these are
decoded one by one. Beside the mapped file, a row that waits takes some 70 bytes. A copy, because a mapped file that
somebody cuts ends the process (SIGBUS).
"""

from __future__ import annotations

import errno
import mmap
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, TypeAlias

import msgspec
import numpy as np

from ...schema.errors import ItemError
from ...storage import Folder
from .read import LONGEST_ROW, Row

_LONGEST_FIRST_LINE = 1 << 20
_TOO_LONG = f"longer than {LONGEST_ROW >> 20} MiB; no row is"
_EXPECTED = 'expected [{...}, ...] or {"data": [{...}, ...]}'
_BOM = b"\xef\xbb\xbf"
# The first row of an array with each row on lines of its own, as json.dump writes it with an indent.
_FIRST_ON_ITS_LINE = re.compile(rb"\s*\[\s*?(\n[ \t]+)\{")
# An array with a row a line, by itself or as the "data" of an object, as the DocVQA challenge's files may be written.
_ROW_A_LINE = re.compile(rb'\s*(?:\{[^\n]*"data"[ \t]*:[ \t]*)?\[[ \t]*\r?\n(?=\{[^\n]*\},?[ \t\r]*\n)')
# What stands before a value of an object: a key.
_ONE_KEY = re.compile(rb'\s*[{,]\s*"((?:[^"\\]|\\.)*)"\s*:\s*')
_LINE_END = re.compile(rb"\n|\Z")
_BLANK = b" \t\r\n"

# A row's text, or why there is none, and the byte at which it begins.
_Span: TypeAlias = tuple[int, bytes | memoryview | ItemError]


def read_json(folder: Folder, name: str) -> Iterator[Row]:
    """Yield the rows of JSON lines, or of a `.json` file, which may be a document.

    A row that is not valid keeps its place and says why, where the others can be told from it; where it breaks its own
    structure, this needs each row on lines of its own. Empty lines and a byte order mark are passed over.
    """
    if name.lower().endswith(".jsonl"):
        with folder.open(name) as stream:
            yield from _lines(stream, name)
        return
    with folder.local(name) as path, path.open("rb") as file:
        read = _lines if _is_lines(file) else _read_document
        file.seek(0)
        yield from read(file, name)


def _lines(stream: IO[bytes], name: str) -> Iterator[Row]:
    number = line = 0
    while raw := stream.readline(LONGEST_ROW):
        line += 1
        place, text = f"{name}:{line}", (raw.removeprefix(_BOM) if line == 1 else raw).strip()
        is_cut = len(raw) == LONGEST_ROW and not raw.endswith(b"\n")
        if is_cut or text:
            yield Row(place, number, None, _TOO_LONG) if is_cut else _row(place, number, text)
            number += 1
        while is_cut and raw and not raw.endswith(b"\n"):
            raw = stream.readline(1 << 20)


def _is_lines(stream: IO[bytes]) -> bool:
    """Tell whether the lines are objects by themselves, looking at the first two that are not empty.

    A document may be a single line, so no more of a line is read than a row is likely to have. An only line is a row if
    no rows lie in it.
    """
    lines: list[bytes] = []
    while len(lines) < 2 and (line := stream.readline(_LONGEST_FIRST_LINE)):
        if text := line.removeprefix(_BOM).strip():
            lines.append(text)
    if not lines or not lines[0].startswith(b"{"):
        return False
    if len(lines) == 1:
        return _is_object(lines[0]) and not _arrays_of_rows(msgspec.json.decode(lines[0], type=dict[str, msgspec.Raw]))
    return _is_object(lines[0]) or (not lines[0].endswith((b"{", b"[", b",")) and _is_object(lines[1]))


def _is_object(text: bytes) -> bool:
    return _row("", 0, text).values is not None


def _read_document(stream: IO[bytes], name: str) -> Iterator[Row]:
    text = _mapped(stream)
    spans: Iterable[_Span]
    try:
        rows, start = _rows_of(text), _address(text)
        spans = ((_address(raw) - start, memoryview(raw)) for raw in rows)
    except ItemError as error:
        spans = [(0, error)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        spans = _damaged(text, error)
    before, line, last = 0, 1, 0
    for number, (at, found) in enumerate(spans):
        line += bytes(text[before:at]).count(b"\n")
        # The second row of a line has its number, too.
        place = f"{name}:{line}" if line != last else f"{name}:{line}, row {number + 1}"
        before, last = at, line
        yield Row(place, number, None, str(found)) if isinstance(found, ItemError) else _row(place, number, found)


def _mapped(stream: IO[bytes]) -> memoryview:
    """Return a file's text as it is now, without its byte order mark: whatever is done to the file, it stays."""
    with tempfile.TemporaryFile(prefix="phi3v-data-json-") as copy:
        try:
            shutil.copyfileobj(stream, copy, 1 << 20)
            copy.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(errno.ENOSPC, "no room for a temporary copy", tempfile.gettempdir()) from error
        if not copy.tell():
            return memoryview(b"")
        # Not closed here: the rows' texts are views of it.
        text = memoryview(mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ))
    return text[len(_BOM) :] if text[: len(_BOM)] == _BOM else text


def _rows_of(text: memoryview) -> list[msgspec.Raw]:
    """Return the one array of rows in a document, or raise ItemError with the reason why there is none."""
    try:
        document = msgspec.json.decode(text, type=list[msgspec.Raw] | dict[str, msgspec.Raw]) if text else None
    except msgspec.ValidationError:
        document = None
    if document is None:
        raise ItemError(f"not a JSON document; {_EXPECTED}")
    if isinstance(document, list):
        return document
    _check_keys(document, text)
    arrays = _arrays_of_rows(document)
    if not arrays:
        raise ItemError(f"no array of rows in it; {_EXPECTED}")
    if "data" not in arrays and len(arrays) > 1:
        keys = ", ".join(f'"{key}"' for key in arrays)
        raise ItemError(f"rows lie under {keys}; keep the right ones in a file of their own")
    return arrays["data" if "data" in arrays else next(iter(arrays))]


def _check_keys(document: dict[str, msgspec.Raw], text: memoryview) -> None:
    """Make sure that an object has no key twice: all but the last of its values are lost in decoding."""
    start = end = _address(text)
    for value in sorted(document.values(), key=_address):
        between = text[end - start : _address(value) - start]
        if not _ONE_KEY.fullmatch(between):
            first = _ONE_KEY.match(between)
            key = first[1].decode(errors="replace")[:100] if first else "?"
            raise ItemError(f'the key "{key}" is there twice; keep one of them, or all rows under it')
        end = _address(value) + len(memoryview(value))


def _arrays_of_rows(document: dict[str, msgspec.Raw]) -> dict[str, list[msgspec.Raw]]:
    """Return the arrays directly inside an object whose first element is an object, or that are its empty data."""
    arrays: dict[str, list[msgspec.Raw]] = {}
    for key, value in document.items():
        if bytes(memoryview(value)[:1]) == b"[":
            rows = msgspec.json.decode(value, type=list[msgspec.Raw])
            if bytes(memoryview(rows[0])[:1]) == b"{" if rows else key == "data":
                arrays[key] = rows
    return arrays


def _damaged(text: memoryview, error: Exception) -> Iterator[_Span]:
    """Yield the rows of a document that is not valid, where each is on lines of its own."""
    if opening := _ROW_A_LINE.match(text):
        yield from _line_by_line(text, opening.end())
        return
    first = _FIRST_ON_ITS_LINE.match(text)
    if first is None:
        yield 0, ItemError(f"not valid JSON ({error}), and its rows cannot be told apart; is it complete?")
        return
    starts = [found.end() - 1 for found in re.finditer(re.escape(first[1]) + rb"\{", text)]
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        row, is_last = bytes(text[start:stop]).rstrip(_BLANK), stop == len(text)
        if row.endswith(b"]" if is_last else b","):
            yield start, row[:-1].rstrip(_BLANK)
        else:
            reason = "the file ends within it; is it complete?" if is_last else "no comma behind it"
            yield start, ItemError(f"not valid JSON ({reason})")


def _line_by_line(text: memoryview, at: int) -> Iterator[_Span]:
    while at < len(text) and (end := _LINE_END.search(text, at)):
        line, start = bytes(text[at : end.start()]).strip(_BLANK), at
        at = end.end()
        if line.startswith(b"]"):
            return
        if line:
            yield start, line.removesuffix(b",")
    yield len(text), ItemError("not valid JSON (the file ends within its rows)")


def _row(place: str, number: int, text: bytes | memoryview) -> Row:
    """Read one JSON object as a row; anything else is a failure."""
    if len(text) > LONGEST_ROW:
        return Row(place, number, None, _TOO_LONG)
    try:
        values = msgspec.json.decode(text)
    except UnicodeDecodeError:
        return Row(place, number, None, "not UTF-8; save the file in this encoding")
    except (msgspec.DecodeError, RecursionError) as error:
        return Row(place, number, None, f"not valid JSON ({error})")
    is_row = isinstance(values, dict)
    return Row(place, number, values if is_row else None, "" if is_row else "not a JSON object; a row is written {...}")


def _address(view: memoryview | msgspec.Raw) -> int:
    """Return where in memory a view begins: the texts of rows are views of the document."""
    address: int = np.frombuffer(view, np.uint8).ctypes.data
    return address
