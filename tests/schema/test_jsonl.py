"""Records as JSON lines."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.errors import DatasetError, RecordError
from phi3v_data.schema.jsonl import Line, read_lines, read_records, write_records
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.storage import LocalFolder


def record(number: int, text: str = "what?") -> Record:
    return Record(id=str(number), conversations=[Turn(user=text, assistant="this")])


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path)


def test_records_are_read_back_in_order_and_the_sum_is_the_files(folder: LocalFolder) -> None:
    records = [record(number, "line\nbreak \u2028") for number in range(5)]
    written = write_records(folder, "a.jsonl", iter(records))
    data = folder.read("a.jsonl")
    assert written == (5, hashlib.sha256(data).hexdigest())
    assert data.count(b"\n") == 5
    assert data.endswith(b"\n")
    assert list(read_records(folder, "a.jsonl")) == records


def test_no_records_make_an_empty_file(folder: LocalFolder) -> None:
    assert write_records(folder, "a.jsonl", []).records == 0
    assert folder.read("a.jsonl") == b""
    assert list(read_records(folder, "a.jsonl")) == []


def test_a_file_appears_only_when_it_is_complete(folder: LocalFolder, tmp_path: Path) -> None:
    def failing() -> Iterator[Record]:
        yield record(1)
        raise RuntimeError("half-way")

    folder.write("a.jsonl", b"before")
    with pytest.raises(RuntimeError, match="half-way"):
        write_records(folder, "a.jsonl", failing())
    assert folder.read("a.jsonl") == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_files_of_other_tools_are_read(folder: LocalFolder) -> None:
    first, second = (encode_record(record(number)) for number in range(2))
    folder.write("a.jsonl", b"\xef\xbb\xbf" + first + b"\r\n\n   \r\n" + second)
    assert list(read_records(folder, "a.jsonl")) == [record(0), record(1)]


def test_a_line_that_is_no_record_is_named_with_its_file(folder: LocalFolder) -> None:
    folder.write("a.jsonl", encode_record(record(0)) + b"\n\n{}\n")
    lines = read_records(folder, "a.jsonl")
    assert next(lines) == record(0)
    with pytest.raises(RecordError, match=r"^a\.jsonl, line 3: not a record: .*`id`"):
        next(lines)


@pytest.mark.parametrize("name", ["missing.jsonl", "folder"])
def test_a_file_that_cannot_be_read_is_refused(folder: LocalFolder, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match=rf"{name}: cannot be read"):
        list(read_records(folder, name))


@given(data=st.lists(st.sampled_from([b"\n", b"\r\n", b" ", b"{}", b"\xef\xbb\xbf", b"a b", b"\r"])).map(b"".join))
def test_every_line_lies_where_its_offset_says(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = LocalFolder(tmp_path_factory.getbasetemp() / "offsets")
    folder.write("a.jsonl", data)
    lines = list(read_lines(folder, "a.jsonl"))
    assert all(data[line.offset :].startswith(line.data) for line in lines)
    assert all(line.data.strip() and not line.data.endswith((b"\r", b"\n")) for line in lines)
    expected = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert lines == [
        Line(number, line.offset, text.rstrip(b"\r"))
        for line, (number, text) in zip(lines, [(n, t) for n, t in enumerate(expected, 1) if t.strip()], strict=True)
    ]


def test_a_file_of_any_length_is_read_in_little_memory(folder: LocalFolder) -> None:
    count = write_records(folder, "a.jsonl", (record(number, "x" * 1000) for number in range(5000))).records
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_records(folder, "a.jsonl")) == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < folder.size("a.jsonl") // 10
