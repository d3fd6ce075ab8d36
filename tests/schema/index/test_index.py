from __future__ import annotations

from pathlib import Path

import pytest

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.errors import DatasetError, RecordError
from phi3v_data.schema.index import RecordIndex


def test_any_record_is_read_without_the_others_and_equals_the_stream(mixed_conversations: Dataset) -> None:
    index = RecordIndex(mixed_conversations, "train")
    assert [index[number] for number in reversed(range(len(index)))][::-1] == list(mixed_conversations.records("train"))


def test_empty_lines_a_byte_order_mark_and_windows_line_ends_do_not_shift_records(tmp_path: Path) -> None:
    line = '{"id": "%s", "conversations": [{"images": [], "user": "é", "assistant": "b"}]}'
    (tmp_path / "x_train.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{line % 1}\r\n\r\n{line % 2}\n\n{line % 3}".encode())
    index = RecordIndex(open_dataset(str(tmp_path)), "train")
    assert [index[number].id for number in range(len(index))] == ["1", "2", "3"]


def test_a_split_that_is_not_there_is_refused_with_those_that_are(colours: Dataset) -> None:
    with pytest.raises(DatasetError, match="no split 'dev'; there are: train, val"):
        RecordIndex(colours, "dev")


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x_train.jsonl").write_text("\n")
    with pytest.raises(DatasetError, match="no records"):
        RecordIndex(open_dataset(str(tmp_path)), "train")


def test_a_line_that_is_no_record_is_named_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "x_train.jsonl").write_text('{"id": "a"}\n')
    index = RecordIndex(open_dataset(str(tmp_path)), "train")
    with pytest.raises(RecordError, match=r"x_train\.jsonl, byte 0: .*conversations"):
        index[0]
