"""The record: what it takes, what it refuses, and that the published JSON Schema says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema import record as record_module
from phi3v_data.schema.errors import RecordError
from phi3v_data.schema.record import Record, Turn, decode_record, encode_record, json_schema

PUBLISHED = Path(record_module.__file__).with_name("record.schema.json")
VALIDATOR = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_bytes()))

TURN = {"images": ["a.jpg"], "user": "what?", "assistant": "this"}
RECIPE = {
    "id": "val-0000000300",
    "source": "ucf101",
    "conversations": [{"images": ["val/A/a.0.jpg"], "user": "Classify ...", "assistant": "A"}],
}


def with_turn(**changes: Any) -> dict[str, Any]:
    return {"id": "1", "conversations": [{**TURN, **changes}]}


def with_image(path: str) -> dict[str, Any]:
    return with_turn(images=[path])


GOOD = [
    RECIPE,
    {"id": "1", "conversations": [TURN, TURN]},
    {"id": "1", "conversations": [{"user": "", "assistant": ""}]},
    {**RECIPE, "meta": {"group": "g21", "frames": [0, 1], "free": {"nested": None}}},
    {**RECIPE, "meta": {}},
    with_turn(images=[]),
    with_turn(answers=["this", "that"]),
    with_turn(supervised=False),
    with_turn(supervised=True),
    *map(with_image, ["a b/ü.jpg", "..a/b..jpg", ".hidden/a.jpg", "ab:c.jpg", "x/C:/a.jpg", "a\n.jpg"]),
]
BAD: list[object] = [
    [],
    None,
    "text",
    {},
    {"id": "1"},
    {"conversations": [TURN]},
    {"id": "", "conversations": [TURN]},
    {"id": 1, "conversations": [TURN]},
    {"id": "1", "conversations": []},
    {"id": "1", "conversations": {}},
    {"id": "1", "conversations": [None]},
    {**RECIPE, "extra": 1},
    {**RECIPE, "source": None},
    {**RECIPE, "meta": None},
    {**RECIPE, "meta": []},
    {"id": "1", "conversations": [{"images": [], "user": "no answer"}]},
    with_turn(extra=1),
    with_turn(user=None),
    with_turn(assistant=["this"]),
    with_turn(answers=[]),
    with_turn(answers="this"),
    with_turn(images="a.jpg"),
    with_turn(supervised=None),
    with_turn(supervised=0),
    with_turn(images=[1]),
    *map(with_image, ["", "/a.jpg", "../a.jpg", "a/../b.jpg", "a/..", "..", ".", "./a.jpg", "a/./b.jpg", "a//b.jpg"]),
    *map(with_image, ["a/", "a\\b.jpg", "C:/a.jpg", "c:a.jpg", "\\\\host\\a.jpg", "a\0.jpg"]),
]


@pytest.mark.parametrize("example", GOOD, ids=json.dumps)
def test_a_record_is_taken_by_the_decoder_and_by_the_schema(example: object) -> None:
    assert isinstance(decode_record(json.dumps(example)), Record)
    VALIDATOR.validate(example)


@pytest.mark.parametrize("example", BAD, ids=json.dumps)
def test_what_is_no_record_is_refused_by_the_decoder_and_by_the_schema(example: object) -> None:
    with pytest.raises(RecordError, match="not a record"):
        decode_record(json.dumps(example))
    assert not VALIDATOR.is_valid(example)


def test_the_published_schema_is_that_of_the_types() -> None:
    expected = msgspec.json.format(msgspec.json.encode(json_schema()), indent=2) + b"\n"
    assert PUBLISHED.read_bytes() == expected, "write msgspec.json.format(...) of json_schema() into record.schema.json"


def test_the_published_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


TEXTS = st.text(max_size=6)
PATHS = st.text(st.sampled_from("aC:./\\ \0\n"), max_size=6)
TURNS = st.fixed_dictionaries(
    {"user": TEXTS, "assistant": TEXTS | st.none()},
    optional={"images": st.lists(PATHS, max_size=3), "answers": st.lists(TEXTS, max_size=2), "image": TEXTS},
)
OBJECTS = st.fixed_dictionaries(
    {"id": TEXTS, "conversations": st.lists(TURNS, max_size=3)},
    optional={"source": TEXTS | st.integers(), "meta": st.dictionaries(TEXTS, st.integers() | TEXTS) | st.none()},
)


@given(example=OBJECTS)
def test_the_decoder_and_the_schema_agree_on_everything(example: dict[str, Any]) -> None:
    try:
        decode_record(json.dumps(example))
    except RecordError:
        taken = False
    else:
        taken = True
    assert VALIDATOR.is_valid(example) == taken


@given(example=PATHS)
def test_a_path_that_is_taken_never_leaves_the_folder(example: str) -> None:
    try:
        decode_record(json.dumps(with_turn(images=[example])))
    except RecordError:
        return
    parts = example.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert "\\" not in example
    assert "\0" not in example
    assert not re.match(r"[A-Za-z]:", example)


MAYBE = st.just(msgspec.UNSET)
VALUES = st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
RECORD_TURNS = st.builds(
    Turn,
    images=st.lists(st.sampled_from(["a.jpg", "train/ü/a.0.jpg"])),
    user=st.text(),
    assistant=st.text(),
    answers=st.lists(st.text(), min_size=1) | MAYBE,
)
RECORDS = st.builds(
    Record,
    id=st.text(min_size=1),
    source=st.text() | MAYBE,
    conversations=st.lists(RECORD_TURNS, min_size=1, max_size=3),
    meta=st.dictionaries(st.text(), VALUES) | MAYBE,
)


@given(record=RECORDS)
def test_what_is_written_is_read_back_the_same_on_one_line(record: Record) -> None:
    line = encode_record(record)
    assert b"\n" not in line
    assert decode_record(line) == record
    assert encode_record(decode_record(line)) == line


def test_what_is_not_set_is_not_written() -> None:
    record = Record(id="1", conversations=[Turn(user="what?", assistant="this")])
    assert json.loads(encode_record(record)) == {
        "id": "1",
        "conversations": [{"images": [], "user": "what?", "assistant": "this"}],
    }


def test_images_are_listed_turn_by_turn() -> None:
    turns = [Turn(images=names, user="", assistant="") for names in (["b", "a"], [], ["b"])]
    assert list(Record(id="1", conversations=turns).images()) == ["b", "a", "b"]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"{", "truncated"),
        (b"", "truncated"),
        (b'{"id": "1", "conversations": [{"user": 3}]}', r"\$\.conversations\[0\]\.user"),
        (
            b'{"id": "1", "conversations": [{"images": ["../a"], "user": "", "assistant": ""}]}',
            r"a relative path, .*\.images\[0\]",
        ),
        (b'{"id": "\xff", "conversations": []}', "utf-8"),
    ],
)
def test_the_message_says_which_field_is_wrong(line: bytes | str, field: str) -> None:
    with pytest.raises(RecordError, match=f"^not a record: .*{field}"):
        decode_record(line)
