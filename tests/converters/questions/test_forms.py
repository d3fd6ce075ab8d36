"""Which files are annotations, and of which split."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phi3v_data.converters.questions.annotations import FileNames, annotation_files
from phi3v_data.storage import open_folder


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00007-33e2982e1d27df29.parquet", "train"),
        ("docvqa/train-00000-of-00017.parquet", "train"),
        ("data/validation-00000-of-00001.parquet", "val"),
        ("default/test/0000.parquet", "test"),
        ("test/data-00000-of-00001.arrow", "test"),
        ("val.parquet", "val"),
        ("train/dev.ARROW", "dev"),
        ("data-00000-of-00001.arrow", "train"),
        ("testament/values.parquet", "train"),
        ("training.parquet", "train"),
    ],
)
def test_a_tables_split_follows_from_its_name_or_its_folders(tmp_path: Path, path: str, split: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
    with FileNames(open_folder(tmp_path)) as files:
        assert annotation_files(files, re.compile("(x)"), "") == {path: split}


def test_files_come_by_split_then_by_name_and_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("test.json", "b/train.json", "a/train.json", "dev_seen.json", "dev.json", "val.json", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with FileNames(open_folder(tmp_path)) as files:
        found = annotation_files(files, re.compile(r"(\w+)\.json"), "", tables=False)
    assert list(found) == [
        "a/train.json",
        "b/train.json",
        "val.json",
        "dev.json",
        "dev_seen.json",
        "test.json",
    ]
