"""The files below an input, found by path or by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phi3v_data.converters.questions.annotations import FileNames
from phi3v_data.schema.errors import ItemError
from phi3v_data.storage import open_folder


def names(root: Path, *paths: str) -> FileNames:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * len(path))
    return FileNames(open_folder(root))


def test_a_file_beside_the_annotations_is_taken_before_others_of_its_name(tmp_path: Path) -> None:
    with names(tmp_path, "qas/documents/a.png", "other/a.png", "a.png") as files:
        assert files.find("documents/a.png", beside="qas/train.json") == "qas/documents/a.png"
        assert files.find("./a.png", beside="train.json") == "a.png"


def test_a_file_of_the_name_is_taken_wherever_it_lies(tmp_path: Path) -> None:
    with names(tmp_path, "x/y/a.png", "x/y/b.png") as files:
        assert files.find("documents/a.png", beside="qas/train.json") == "x/y/a.png"
        assert files.size("x/y/a.png") == len("x/y/a.png")


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "..", "/", ".", "documents/", "x/y"])
def test_nothing_outside_the_input_is_ever_reached(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    with names(tmp_path / "input", "x/y/a.png") as files, pytest.raises(ItemError, match="no image"):
        files.find(path, beside="x/train.json")


def test_a_name_that_stands_for_two_files_is_not_guessed(tmp_path: Path) -> None:
    with names(tmp_path, "a/p.png", "b/p.png", "c/p.png") as files:
        with pytest.raises(ItemError, match=r"the image p\.png may be a/p\.png or b/p\.png; keep one of them"):
            files.find("p.png", beside="train.json")
        assert files.find("b/p.png", beside="train.json") == "b/p.png"


def test_names_of_every_kind_are_found_and_those_that_are_not_utf8_harm_nothing(tmp_path: Path) -> None:
    strange = ["走る/é'\".png", "a b;--.png", "%41.png"]
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    with names(tmp_path, *strange) as files:
        assert list(files) == sorted(strange)
        assert [files.find(path) for path in strange] == strange


def test_paths_come_in_the_folders_order(tmp_path: Path) -> None:
    with names(tmp_path, "b/2", "a", "b/1", "c", ".hidden") as files:
        assert list(files) == ["a", "b/1", "b/2", "c"]
