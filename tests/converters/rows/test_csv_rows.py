from __future__ import annotations

from pathlib import Path

import pytest

from phi3v_data.converters.rows import Row, read_rows
from phi3v_data.storage import LocalFolder


def rows(folder: Path, text: bytes, name: str = "x.csv") -> list[Row]:
    (folder / name).write_bytes(text)
    return list(read_rows(LocalFolder(folder), name))


def test_cells_are_texts_under_the_names_of_the_first_line(tmp_path: Path) -> None:
    found = rows(tmp_path, '\ufeffa,"b, c"\r\n1,é\r\n\r\n"x\ny","""q"""\r\n'.encode())
    assert [row.values for row in found] == [{"a": "1", "b, c": "é"}, {"a": "x\ny", "b, c": '"q"'}]
    assert [row.place for row in found] == ["x.csv:2", "x.csv:4"]


def test_a_tsv_has_tabs(tmp_path: Path) -> None:
    (found,) = rows(tmp_path, b"a\tb\n1,2\t3\n", "x.tsv")
    assert found.values == {"a": "1,2", "b": "3"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1", "1 cell; the first line names 2 columns"),
        (b"1,2,3", "3 cells; the first line names 2 columns"),
        (b'"1"x,2', "not a row of cells"),
        (b"1,\xff", "not UTF-8"),
    ],
)
def test_an_odd_row_is_one_failure(tmp_path: Path, line: bytes, said: str) -> None:
    found = rows(tmp_path, b"a,b\n1,2\n" + line + b"\n3,4\n")
    assert [row.values for row in found] == [{"a": "1", "b": "2"}, None, {"a": "3", "b": "4"}]
    assert said in found[1].failure
    assert found[1].place == "x.csv:3"
    assert [row.number for row in found] == [0, 1, 2]


def test_a_quote_that_is_never_closed_is_a_failure(tmp_path: Path) -> None:
    found = rows(tmp_path, b'a,b\n1,2\n"3,4\n5,6\n')
    assert [row.values for row in found] == [{"a": "1", "b": "2"}, None]
    assert "unexpected end of data" in found[1].failure


@pytest.mark.parametrize(
    ("text", "said"), [(b"a,a\n1,2\n", "names the column 'a' twice"), (b"a,\xff\n1,2\n", "not UTF-8")]
)
def test_a_first_line_that_does_not_name_the_columns_is_a_failure(tmp_path: Path, text: bytes, said: str) -> None:
    (found,) = rows(tmp_path, text)
    assert said in found.failure
    assert found.place == "x.csv:1"


def test_a_column_without_a_name_is_one_all_the_same(tmp_path: Path) -> None:
    (found,) = rows(tmp_path, b",a\n0,1\n")
    assert found.values == {"": "0", "a": "1"}
