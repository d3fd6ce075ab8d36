from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.rows import Row, read, read_rows
from phi3v_data.schema.errors import InputError
from phi3v_data.storage import LocalFolder, open_folder


def rows(folder: Path, text: str | bytes, name: str = "x.json") -> list[Row]:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_rows(LocalFolder(folder), name))


def values(found: list[Row]) -> list[dict[str, Any] | None]:
    return [row.values for row in found]


THREE = [{"a": "x", "q": [1, {"z": "[}"}]}, {"a": "y"}, {"a": 'z"\\'}]
PRETTY = json.dumps(THREE, indent=1)


@pytest.mark.parametrize("indent", [None, 0, 1, 4, "\t"])
@pytest.mark.parametrize("wrap", ["array", "data", "only key", "among others"])
def test_a_document_gives_its_rows_however_it_is_written(tmp_path: Path, indent: int | str | None, wrap: str) -> None:
    documents = {
        "array": THREE,
        "data": {"other": [{"not": "rows"}], "info": {"data": "no"}, "data": THREE, "more": [1]},
        "only key": {"annotations": THREE},
        "among others": {"info": {"year": 2020}, "licences": ["a"], "questions": THREE, "empty": []},
    }
    found = rows(tmp_path, json.dumps(documents[wrap], indent=indent))
    assert values(found) == THREE
    assert [row.number for row in found] == [0, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "".join(json.dumps(row) + "\n" for row in THREE),
        '{"a": [{"b": 1}]}\n{"a": []}\n',
        '{"a": {"b": [1]}}\n',
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_json_lines_are_read_under_either_suffix(tmp_path: Path, name: str, text: str) -> None:
    found = rows(tmp_path, text, name)
    assert values(found) == [json.loads(line) for line in text.splitlines()]
    assert [row.place for row in found] == [f"{name}:{line + 1}" for line in range(len(found))]


def test_a_place_is_the_line_where_a_row_begins(tmp_path: Path) -> None:
    found = rows(tmp_path, '\n[{"a": 1,\n "b": 2},\n\n  {"a": 3}, {"a": 4}]')
    assert [row.place for row in found] == ["x.json:2", "x.json:5", "x.json:5, row 3"]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    for name, text in (("x.json", PRETTY), ("y.jsonl", '{"a": 1}'), ("z.json", '{"a": 1}\n{"a": 2}')):
        assert None not in values(rows(tmp_path, b"\xef\xbb\xbf" + text.encode(), name))


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv"])
def test_utf_16_is_named(tmp_path: Path, name: str) -> None:
    (found,) = rows(tmp_path, PRETTY.encode("utf-16"), name)
    assert found.values is None
    assert "UTF-16" in found.failure


@pytest.mark.parametrize(
    ("given", "broken", "kept"),
    [
        ('"y"', "oops", [0, 2]),
        ('"y"\n }', '"y"\n ', [0, 2]),
        ('"y"', '"y', [0, 2]),
        ('"y"', '"y"}', [0, 2]),
        ('"y"', '["y"', [0, 2]),
        ('"x"', '"x', [1, 2]),
        ('"y"\n },', '"y"\n }', [0, 2]),
        ('"a": "y"', '"a": "\\ud800"', [0, 2]),
        ('{\n  "a": "y"\n }', "17", [0, 2]),
        ('{\n  "a": "y"\n }', '["y"]', [0, 2]),
    ],
)
def test_a_broken_element_is_one_failure_and_the_next_is_found(
    tmp_path: Path, given: str, broken: str, kept: list[int]
) -> None:
    assert given in PRETTY
    found = rows(tmp_path, PRETTY.replace(given, broken))
    assert [row for row in values(found) if row is not None] == [THREE[number] for number in kept]
    (failure,) = (row for row in found if row.values is None)
    lines = PRETTY.splitlines()
    at = lines.index(" {", 2 if kept == [0, 2] else 0) if kept == [0, 2] else 1
    assert failure.place == f"x.json:{at + 1}"
    assert "JSON" in failure.failure


def test_wrong_bytes_spoil_their_own_row_alone(tmp_path: Path) -> None:
    for name, text in (("x.json", b'[{"a": "\xff"}, {"a": "y"}]'), ("x.jsonl", b'{"a": "\xff"}\n{"a": "y"}')):
        found = rows(tmp_path, text, name)
        assert values(found) == [None, {"a": "y"}]
        assert "not UTF-8" in found[0].failure


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": ',
        '[{"a": 1},',
        '{"data": [{"a": 1}',
        '[{"a": 1}], {"a": 2}]',
        '{"data": [{"a": 1}]]}',
        '{"data": [{"a": 1}], {"a": 2}]}',
        '[{"a": 1}, {"a": "2}, {"a": 3}]',
        "[" * 100_000,
    ],
)
def test_a_damaged_document_whose_rows_cannot_be_separated_is_one_failure(tmp_path: Path, text: str) -> None:
    (found,) = rows(tmp_path, text)
    assert found.place == "x.json:1"
    assert "not valid JSON" in found.failure


@pytest.mark.parametrize("cut", [10, 4, 2])
def test_the_rows_of_a_document_that_was_cut_off_are_read_and_the_cut_is_said(tmp_path: Path, cut: int) -> None:
    found = rows(tmp_path, PRETTY[:-cut])
    assert values(found)[:2] == THREE[:2]
    assert "the file ends within it" in found[2].failure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a JSON document"),
        ('"text"', "not a JSON document"),
        ('{"a":\n{"b": [1]}}', "no array of rows"),
        ('{"images": [{"a": 1}], "annotations": [{"b": 1}]}', 'rows lie under "images", "annotations"'),
    ],
)
def test_a_document_without_rows_is_one_failure(tmp_path: Path, text: str, said: str) -> None:
    (found,) = rows(tmp_path, text)
    assert said in found.failure
    assert found.place == "x.json:1"


@pytest.mark.parametrize("text", ["[]", '{"data": []}', " [ ] "])
def test_an_empty_array_has_no_rows(tmp_path: Path, text: str) -> None:
    assert rows(tmp_path, text) == []


def test_a_broken_first_line_does_not_hide_that_the_others_are_rows(tmp_path: Path) -> None:
    assert values(rows(tmp_path, '{"a": 1\n{"a": 2}\n{"a": 3}\n')) == [None, {"a": 2}, {"a": 3}]


def test_no_row_is_longer_than_the_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phi3v_data.converters.rows import json_rows

    monkeypatch.setattr(json_rows, "LONGEST_ROW", 1000)
    assert read.LONGEST_ROW > 1000
    long = {"a": "x" * 5000}
    assert values(rows(tmp_path, "".join(f"{json.dumps(r)}\n" for r in ({"a": 1}, long, {"a": 2})), "x.jsonl")) == [
        {"a": 1},
        None,
        {"a": 2},
    ]
    found = rows(tmp_path, json.dumps([{"a": 1}, {"b": [["y"] * 400]}, {"a": 2}], indent=1))
    assert values(found) == [{"a": 1}, None, {"a": 2}]


def test_rows_that_hang_over_what_is_read_at_once_are_whole(tmp_path: Path) -> None:
    given = [{"a": "é\\" * 20_000, "n": number} for number in range(8)]
    assert values(rows(tmp_path, json.dumps(given, ensure_ascii=False))) == given
    assert values(rows(tmp_path, json.dumps({"data": given}, indent=1))) == given


DAMAGE = b'{}[]",:\n x\\\xff'


@given(
    text=st.sampled_from(
        [json.dumps(given, indent=indent) for given in (THREE, {"data": THREE}) for indent in (None, 0, 1)]
    ),
    where=st.floats(0, 1, exclude_max=True),
    byte=st.sampled_from([b"", *(bytes([value]) for value in DAMAGE)]),
    is_put_in=st.booleans(),
)
def test_no_damage_of_a_byte_loses_a_row_unsaid(text: str, where: float, byte: bytes, is_put_in: bool) -> None:
    data, at = text.encode(), int(where * len(text))
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Path(folder), data[:at] + byte + data[at + (not is_put_in) :])
    whole = [row for row in found if row.values is not None]
    assert len(whole) >= len(THREE) or len(found) > len(whole)
    # A row that a brace ends as it begins: each line behind it is reported.
    is_ended = is_put_in and byte == b"}" and data[:at].endswith(b"{")
    assert len(found) <= (len(text.splitlines()) if is_ended else len(THREE)) + 3


def test_rows_are_read_from_an_object_store(tmp_path: Path) -> None:
    import fsspec

    folder = open_folder("memory://rows-of-json")
    for name, text in (("x.json", PRETTY), ("y.jsonl", '{"a": 1}'), ("z.csv", "a\n1\n")):
        fsspec.filesystem("memory").pipe_file(f"/rows-of-json/{name}", text.encode())
        assert [row.values for row in read_rows(folder, name)] == (
            THREE if name == "x.json" else [{"a": 1}] if name == "y.jsonl" else [{"a": "1"}]
        )


@pytest.mark.parametrize("name", ["none.json", "none.jsonl", "none.csv", "none.parquet", "none.arrow", "rows.xlsx"])
def test_a_file_that_is_not_there_or_of_no_known_form_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        list(read_rows(LocalFolder(tmp_path), name))


def test_a_document_that_is_cut_while_it_is_read_gives_the_rows_that_it_had(tmp_path: Path) -> None:
    many = [{"number": number, "text": "x" * 1000} for number in range(100)]
    (tmp_path / "x.json").write_text(json.dumps({"data": many}))
    found = read_rows(LocalFolder(tmp_path), "x.json")
    first = next(found)
    (tmp_path / "x.json").write_bytes(b"")
    assert values([first, *found]) == many


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"data": [{"a": 1}], "data": [{"a": 2}]}', "data"),
        ('{"data": [{"a": 1}],\n "info": {"x": [1, "\\""]},\n "data": [{"a": 2}]}', "data"),
        ('{"info": {"data": 1}, "info": {}, "data": [{"a": 1}]}', "info"),
        ('{"in\\"fo": 1, "data": [{"a": 1}], "in\\"fo": 2}', 'in\\"fo'),
    ],
)
def test_a_document_with_a_key_twice_is_refused(tmp_path: Path, text: str, key: str) -> None:
    (found,) = rows(tmp_path, text)
    assert found.values is None
    assert found.failure == f'the key "{key}" is there twice; keep one of them, or all rows under it'


def test_no_room_for_a_copy_of_a_document_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(InputError, match=r"x.json: cannot be read \(no room for a temporary copy: "):
        rows(tmp_path, PRETTY)
