"""Rules on records: that each line of a JSONL file is one."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ..jsonl import LONGEST_LINE
from ..record import Record, Turn
from .examples import line as made
from .examples import one_line
from .lean import decode_lean
from .rule import RuleSet


class Line(NamedTuple):
    """One line of a JSONL file.

    Args:
        data: its bytes, without the line end.
        first: whether it is the first of its file.
        too_long: its size, where it is longer than may be; its bytes are left out.
    """

    data: bytes
    first: bool = False
    too_long: int = 0


LINES: RuleSet[Line, str] = RuleSet("records")

_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


@LINES.rule(
    "R101",
    "not-utf8",
    "A line holds bytes that are not UTF-8.",
    "Save the file as UTF-8; of a file in Latin-1: iconv -f latin1 -t utf-8.",
    bad=one_line(made(), made("b", user="Caf\xe9?").encode("latin-1")),
    good=one_line(made(), made("b", user="Café?")),
)
def not_utf8(line: Line) -> Iterator[str]:
    try:
        line.data.decode()
    except UnicodeDecodeError as error:
        yield f"byte {error.start + 1} of the line (0x{line.data[error.start]:02x}) is not UTF-8"


@LINES.rule(
    "R102",
    "byte-order-mark",
    "The file begins with a byte order mark, which other readers of JSON lines refuse.",
    "Save it as UTF-8 without a mark.",
    severity="warning",
    fixable=True,
    bad=one_line(_BOM + made().encode()),
    good=one_line(made()),
)
def byte_order_mark(line: Line) -> Iterator[str]:
    if line.first and line.data.startswith(_BOM):
        yield "the file begins with a byte order mark"


@LINES.rule(
    "R103",
    "not-json",
    "A line is not valid JSON.",
    "Write each record as one JSON object on one line; json.dumps does.",
    bad=one_line(made(), '{"id": "b", "conversations": [}'),
    good=one_line(made(), made("b")),
)
def not_json(line: Line) -> Iterator[str]:
    text = _text(line)
    if text is None or line.too_long or _lone_surrogate(text):
        return
    reason = _why_not_json(text)
    if reason:
        yield f"not valid JSON: {reason}"


@LINES.rule(
    "R104",
    "line-too-long",
    f"A line is longer than {LONGEST_LINE // 2**20} MiB; it is not read.",
    "Write one record a line, and images as files.",
    bad=one_line(made(user="x" * 1000), longest_line=100),
    good=one_line(made(user="x"), longest_line=200),
)
def line_too_long(line: Line) -> Iterator[str]:
    if line.too_long:
        yield f"a line of {line.too_long:,} bytes; it is not read"


@LINES.rule(
    "R105",
    "not-an-object",
    "A line is JSON, but not an object.",
    "Write each record as an object in braces, one a line; a file that is one long array is none of JSON lines.",
    bad=one_line(f"[{made()}]"),
    good=one_line(made()),
)
def not_an_object(line: Line) -> Iterator[str]:
    value = _value(line)
    if value is not None and not isinstance(value[0], dict):
        yield f"an object was expected; this is {_kind(value[0])}"


@LINES.rule(
    "R106",
    "missing-key",
    "A record or one of its turns lacks a key that it must have.",
    "Add it: a record has `id` and `conversations`, a turn `user` and `assistant`.",
    bad=one_line(made(), '{"id": "b", "conversations": [{"user": "What?"}]}'),
    good=one_line(made(), made("b")),
)
def missing_key(line: Line) -> Iterator[str]:
    for path, struct, value in _objects(line):
        for field in _fields(struct):
            if field.required and field.encode_name not in value:
                near = _nearest(field.encode_name, value)
                hint = f"; is it `{near}`?" if near else ""
                yield f"{path or 'the record'} has no `{field.encode_name}`{hint}"


@LINES.rule(
    "R107",
    "unknown-key",
    "A record or a turn has a key that is none of theirs.",
    "Correct its name, or move it into `meta`, which is free.",
    bad=one_line('{"id": "a", "conversations": [{"user": "What?", "assistant": "This.", "image": ["a.jpg"]}]}'),
    good=one_line('{"id": "a", "conversations": [{"user": "What?", "assistant": "This."}], "meta": {"page": 1}}'),
)
def unknown_key(line: Line) -> Iterator[str]:
    for path, struct, value in _objects(line):
        known = [field.encode_name for field in _fields(struct)]
        unknown = [key for key in value if key not in known]
        if unknown:
            near = difflib.get_close_matches(unknown[0][:40], known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            yield f"{path or 'the record'} has the unknown key `{unknown[0][:40]}`{more}{hint}"


@LINES.rule(
    "R108",
    "wrong-type",
    "A value is not of the type that its key asks for.",
    "Give it the type that is named.",
    bad=one_line('{"id": 7, "conversations": [{"user": "What?", "assistant": "This."}]}'),
    good=one_line('{"id": "7", "conversations": [{"user": "What?", "assistant": "This."}]}'),
)
def wrong_type(line: Line) -> Iterator[str]:
    found = list(_wrong_values(line))
    yield from found or _unexplained(line)


def _wrong_values(line: Line) -> Iterator[str]:
    for path, struct, value in _objects(line):
        for field in _fields(struct):
            name = field.encode_name
            if name not in value or _is_another_rules(name, value[name]):
                continue
            expected = list[str] if name == "images" else list[Any] if name == "conversations" else field.type
            try:
                msgspec.convert(value[name], expected)
            except msgspec.ValidationError as error:
                said, _, place = str(error).partition(" - at `$")
                yield f"{path}{'.' if path else ''}{name}{place.rstrip('`')}: {said[:1].lower()}{said[1:]}"
    for path, turn in _turns(line):
        if not isinstance(turn, dict):
            yield f"{path}: expected an object, got {_kind(turn)}"


@LINES.rule(
    "R109",
    "no-turns",
    "A record has no turns.",
    "Remove it, or give it a turn.",
    bad=one_line(made(), '{"id": "b", "conversations": []}'),
    good=one_line(made(), made("b")),
)
def no_turns(line: Line) -> Iterator[str]:
    value = _value(line)
    if value is not None and isinstance(value[0], dict) and value[0].get("conversations") == []:
        yield "`conversations` is empty"


@LINES.rule(
    "R110",
    "empty-id",
    "A record's id is empty.",
    "Give each record an id of its own.",
    bad=one_line(made("")),
    good=one_line(made("a")),
)
def empty_id(line: Line) -> Iterator[str]:
    value = _value(line)
    if value is not None and isinstance(value[0], dict) and value[0].get("id") == "":
        yield "the id is empty"


@LINES.rule(
    "R111",
    "repeated-key",
    "An object has a key twice; which of the values holds depends on who reads it.",
    "Keep the one that is meant.",
    bad=one_line('{"id": "a", "id": "b", "conversations": [{"user": "What?", "assistant": "This."}]}'),
    good=one_line(made()),
)
def repeated_key(line: Line) -> Iterator[str]:
    text = _text(line)
    if text is None:
        return
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                repeated.append(key)
            seen[key] = value
        return seen

    try:
        json.loads(text, object_pairs_hook=note)
    except (ValueError, RecursionError):
        return
    if repeated:
        yield f"the key `{repeated[0][:40]}` stands more than once in one object"


@LINES.rule(
    "R112",
    "lone-surrogate",
    "A text holds half of a surrogate pair, which is not a character and cannot be written as UTF-8.",
    "Remove it; it is left over from a text that was cut in the middle of a character.",
    bad=one_line('{"id": "a", "conversations": [{"user": "What? \\ud83d", "assistant": "This."}]}'),
    good=one_line('{"id": "a", "conversations": [{"user": "What? \\ud83d\\ude00", "assistant": "This."}]}'),
)
def lone_surrogate(line: Line) -> Iterator[str]:
    text = _text(line)
    found = _lone_surrogate(text) if text is not None else ""
    if found:
        yield f"a text holds the lone surrogate {found}"


def _unexplained(line: Line) -> Iterator[str]:
    """Say what the decoder says of a line that is not a record, where no rule has words of its own for it."""
    try:
        decode_lean(line.data.removeprefix(_BOM) if line.first else line.data)
    except msgspec.ValidationError as error:
        others = [rule for code, rule in LINES.rules.items() if code != "R108"]
        if not any(True for rule in others for _ in rule.check(line)):
            yield str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def _text(line: Line) -> str | None:
    try:
        return line.data.removeprefix(_BOM).decode() if line.first else line.data.decode()
    except UnicodeDecodeError:
        return None


# Every rule asks about the same line.
@lru_cache(1)
def _value(line: Line) -> tuple[Any] | None:
    """Return what a line holds, in a tuple; None where it is not JSON."""
    text = _text(line)
    if text is None:
        return None
    try:
        return (msgspec.json.decode(text),)
    except (msgspec.DecodeError, RecursionError):
        return None


def _why_not_json(text: str) -> str:
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return "nested too deep"
    except msgspec.DecodeError as error:
        return _place_of(text) or str(error)
    return ""


def _place_of(text: str) -> str:
    """Say where JSON ends to be JSON, in the words of Python's own reader."""
    try:
        json.loads(text)
    except RecursionError:
        return "nested too deep"
    except json.JSONDecodeError as error:
        return f"{error.msg} at character {error.pos + 1}"
    except ValueError as error:
        return str(error)
    return ""


def _lone_surrogate(text: str) -> str:
    if not _SURROGATE.search(text.encode("utf-8", "surrogatepass")):
        return ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False))
    return ascii(found.group())[1:-1] if found else ""


def _objects(line: Line) -> Iterator[tuple[str, type[msgspec.Struct], dict[str, Any]]]:
    """Yield the record and its turns, as far as they are objects, each with its path and the struct it should be."""
    value = _value(line)
    if value is None or not isinstance(value[0], dict):
        return
    yield "", Record, value[0]
    for path, turn in _turns(line):
        if isinstance(turn, dict):
            yield path, Turn, turn


@lru_cache
def _fields(struct: type[msgspec.Struct]) -> tuple[Any, ...]:
    return msgspec.structs.fields(struct)


def _turns(line: Line) -> Iterator[tuple[str, Any]]:
    value = _value(line)
    turns = value[0].get("conversations") if value is not None and isinstance(value[0], dict) else None
    for number, turn in enumerate(turns if isinstance(turns, list) else ()):
        yield f"conversations[{number}]", turn


def _is_another_rules(name: str, value: Any) -> bool:
    return (name == "conversations" and value == []) or (name == "id" and value == "")


def _nearest(name: str, keys: dict[str, Any]) -> str:
    near = difflib.get_close_matches(name, [key[:40] for key in list(keys)[:1000]], n=1)
    return near[0] if near else ""


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
