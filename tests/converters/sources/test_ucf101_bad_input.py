"""The source ucf101: bad input, in one clear line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from raw_ucf101 import Shown, found, refusal, source

from phi3v_data.schema.errors import MediaError


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").endswith("nowhere: no such folder")


@pytest.mark.parametrize("names", [[], ["readme.txt"], ["wrapper/readme.txt"], ["wrapper/inner/readme.txt"]])
def test_a_folder_without_classes_or_clips_is_refused_with_the_three_forms(
    place: Callable[..., Path], tmp_path: Path, names: list[str]
) -> None:
    (tmp_path / "raw").mkdir()
    place(*names)
    message = refusal(tmp_path / "raw")
    assert "/raw" in message
    assert any(part in message for part in ("an empty folder", "no folder inside", "a class folder without clips"))


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert "an empty folder; expected train|val|test/<Class>/<clip>, or UCF-101/<Class>/<clip> beside" in message
    assert "or <Class>/<clip>" in message


def test_clips_in_no_class_folder_are_refused(place: Callable[..., Path]) -> None:
    assert "loose.avi: a clip in no class folder" in refusal(place("A/a.avi", "loose.avi"))
    assert "loose.avi: a clip beside the splits" in refusal(place("train/A/a.avi", "loose.avi", at="splits"))


def test_a_class_folder_without_clips_is_refused_by_name(place: Callable[..., Path]) -> None:
    message = refusal(place("A/a.avi", "B/notes.txt"))
    assert "/B: a class folder without clips" in message
    assert ".avi" in message
    assert "train/B: a class folder without clips" in refusal(place("train/A/a.avi", "train/B/", at="splits"))


def test_a_clip_below_a_class_folder_is_not_lost_in_silence(place: Callable[..., Path]) -> None:
    assert "A/more/b.avi: a clip below the class folder A" in refusal(place("A/a.avi", "A/more/b.avi", "B/b.avi"))


def test_files_that_are_no_clips_and_hidden_ones_are_no_samples(place: Callable[..., Path]) -> None:
    root = place("A/a.avi", "A/notes.txt", "A/Thumbs.db", "A/._a.avi", "A/more/notes.txt", ".git/x.avi", "B/b.avi")
    assert [item.path for item in found(root)] == ["A/a.avi", "B/b.avi"]


def test_classes_that_some_file_system_takes_for_one_are_refused(place: Callable[..., Path]) -> None:
    assert "'Run' and 'run' differ only in case" in refusal(place("train/Run/a.avi", "val/run/b.avi"))


def test_classes_that_differ_in_unicode_form_alone_are_refused(place: Callable[..., Path]) -> None:
    assert r"'caf\xe9'" in refusal(place("train/caf\u00e9/a.avi", "val/cafe\u0301/b.avi"))


def test_a_class_that_is_not_named_in_utf8_is_refused(place: Callable[..., Path]) -> None:
    assert r"the class 'caf\udce9' is not named in UTF-8" in refusal(place("caf\udce9/a.avi"))


def test_a_folder_called_like_a_clip_fails_by_name(place: Callable[..., Path]) -> None:
    made = source(place("A/a.avi", "A/x.avi/frames.txt"))
    item = list(made.discover())[1]
    assert item.path == "A/x.avi"
    with pytest.raises(MediaError, match="a folder, not a clip"):
        made.convert(item, Shown())


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no video at all" * 100])
def test_a_clip_that_is_none_fails_alone(place: Callable[..., Path], data: bytes) -> None:
    root = place("A/a.avi", "A/b.avi")
    (root / "A" / "b.avi").write_bytes(data)
    made = source(root)
    good, bad = made.discover()
    made.convert(good, Shown())
    with pytest.raises(MediaError):
        made.convert(bad, Shown())
