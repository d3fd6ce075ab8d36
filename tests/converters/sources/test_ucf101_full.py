"""The source ucf101: the full dataset beside its lists."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from raw_ucf101 import PROMPT, Shown, converted, found, refusal, source
from record_meta import meta_of

from phi3v_data.schema.errors import InputError, MediaError


def full(place: Callable[..., Path], base: str = "") -> Path:
    root = place(
        f"{base}UCF-101/Archery/v_Archery_g01_c01.avi",
        f"{base}UCF-101/Archery/v_Archery_g08_c01.avi",
        f"{base}UCF-101/Yoga/v_Yoga_g01_c01.avi",
        f"{base}UCF-101/Yoga/v_Yoga_g08_c01.avi",
        f"{base}ucfTrainTestlist/classInd.txt",
    )
    lists = root / base / "ucfTrainTestlist"
    (lists / "trainlist01.txt").write_bytes(b"Yoga/v_Yoga_g08_c01.avi 2\r\nArchery/v_Archery_g08_c01.avi 1\r\n")
    (lists / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\n\nYoga/v_Yoga_g01_c01.avi\n")
    (lists / "trainlist02.txt").write_text("\ufeffArchery/v_Archery_g01_c01.avi 1\nYoga/v_Yoga_g01_c01.avi 2\n")
    (lists / "testlist02.txt").write_text("Archery/v_Archery_g08_c01.avi\nYoga/v_Yoga_g08_c01.avi\n")
    return root


def test_the_lists_of_the_fold_tell_which_clip_is_in_which_split(place: Callable[..., Path]) -> None:
    root = full(place)
    assert [(item.id, item.path, item.images) for item in found(root)] == [
        ("train-0000000000", "UCF-101/Archery/v_Archery_g08_c01.avi", "train/Archery/v_Archery_g08_c01"),
        ("train-0000000001", "UCF-101/Yoga/v_Yoga_g08_c01.avi", "train/Yoga/v_Yoga_g08_c01"),
        ("test-0000000002", "UCF-101/Archery/v_Archery_g01_c01.avi", "test/Archery/v_Archery_g01_c01"),
        ("test-0000000003", "UCF-101/Yoga/v_Yoga_g01_c01.avi", "test/Yoga/v_Yoga_g01_c01"),
    ]
    assert [item.id[:-11] + item.path[-12:-8] for item in found(root, fold=2)] == [
        "train_g01",
        "train_g01",
        "test_g08",
        "test_g08",
    ]
    record = converted(root)[0]
    assert record.conversations[0].user == f"{PROMPT}Archery, Yoga."
    assert converted(root, fold=2)[0].conversations[0].user == record.conversations[0].user
    assert meta_of(record)["video"] == "Archery/v_Archery_g08_c01.avi"


def test_the_lists_are_found_beside_and_inside_the_folder_of_clips(place: Callable[..., Path]) -> None:
    root = full(place)
    expected = converted(root)
    assert converted(root / "UCF-101") == expected
    (root / "ucfTrainTestlist").rename(root / "UCF-101" / "ucfTrainTestlist")
    assert converted(root / "UCF-101") == expected
    assert converted(root) == expected


def test_the_full_dataset_may_lie_inside_one_more_folder(place: Callable[..., Path]) -> None:
    root = full(place, "download/")
    assert converted(root) == converted(root / "download")


def test_a_relative_address_finds_the_lists_beside(place: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(full(place) / "UCF-101")
    assert [item.split for item in found(".")] == ["train", "train", "test", "test"]


def test_a_listed_clip_that_is_missing_fails_by_name(place: Callable[..., Path]) -> None:
    root = full(place)
    (root / "UCF-101" / "Yoga" / "v_Yoga_g08_c01.avi").unlink()
    made = source(root)
    items = list(made.discover())
    assert len(items) == 4
    assert items[1].path == "UCF-101/Yoga/v_Yoga_g08_c01.avi"
    with pytest.raises(MediaError, match="no such clip"):
        made.convert(items[1], Shown())
    made.convert(items[0], Shown())


def test_a_clip_in_no_list_is_counted_and_fails_by_name(place: Callable[..., Path]) -> None:
    full(place)
    made = source(place("UCF-101/Yoga/extra.avi"))
    item = list(made.discover())[-1]
    assert (item.id, item.split, item.path) == ("unlisted-0000000004", "unlisted", "UCF-101/Yoga/extra.avi")
    assert item.failure == "in no list; list it, or leave it out: --splits train,test"


def test_a_class_of_which_every_clip_is_missing_is_still_in_the_prompt(place: Callable[..., Path]) -> None:
    root = full(place)
    shutil.rmtree(root / "UCF-101" / "Yoga")
    made = source(root)
    first, *_ = made.discover()
    assert made.convert(first, Shown()).conversations[0].user == f"{PROMPT}Archery, Yoga."


def test_the_full_dataset_without_its_lists_says_what_to_do(place: Callable[..., Path]) -> None:
    root = place("UCF-101/Archery/v_Archery_g01_c01.avi")
    message = refusal(root)
    assert "without its lists; put ucfTrainTestlist/ beside it" in message
    assert [item.split for item in found(root / "UCF-101")] == ["train"]


@pytest.mark.parametrize(
    ("name", "text", "failure"),
    [
        ("trainlist01.txt", None, "no such list"),
        ("testlist01.txt", "\n", "test"),
        ("testlist01.txt", "../../etc/a.avi\n", "line 1: '../../etc/a.avi' is not a clip"),
        ("testlist01.txt", "../a.avi\n", "line 1: '../a.avi' is not a clip"),
        ("testlist01.txt", "\nv_Yoga_g01_c01.avi\n", "line 2: 'v_Yoga_g01_c01.avi' is not a clip"),
        (
            "testlist01.txt",
            "Yoga/v_Yoga_g01_c01.avi\nYoga/v_Yoga_g01_c01.avi",
            "line 2: .* is already in testlist01",
        ),
        ("testlist01.txt", "Yoga/v_Yoga_g08_c01.avi", "line 1: .* is already in trainlist01"),
        ("testlist01.txt", "Yoga/caf\udce9.avi", "not UTF-8"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(
    place: Callable[..., Path], name: str, text: str | None, failure: str
) -> None:
    root = full(place)
    path = root / "ucfTrainTestlist" / name
    path.unlink()
    if text is not None:
        path.write_bytes(os.fsencode(text))
    if text == "\n":
        (root / "ucfTrainTestlist" / "trainlist01.txt").write_text("")
        failure = "trainlist01.txt and testlist01.txt name no clip"
    with pytest.raises(InputError, match=failure):
        found(root)


def test_names_with_spaces_stand_in_lists_with_and_without_a_number(place: Callable[..., Path]) -> None:
    full(place)
    root = place("UCF-101/Tai Chi/one two.avi", "UCF-101/Tai Chi/three.avi")
    (root / "ucfTrainTestlist" / "trainlist01.txt").write_text("Tai Chi/one two.avi 12\nTai Chi/three.avi")
    assert [item.path for item in found(root)][:2] == ["UCF-101/Tai Chi/one two.avi", "UCF-101/Tai Chi/three.avi"]


def test_a_missing_object_fails_by_name(place: Callable[..., Path]) -> None:
    root, store = full(place), fsspec.filesystem("memory")
    store.put(str(root), "/ucf101-full", recursive=True)
    try:
        made = source("memory://ucf101-full/UCF-101")
        items = list(made.discover())
        assert [item.split for item in items] == ["train", "train", "test", "test"]
        store.rm("/ucf101-full/UCF-101/Yoga/v_Yoga_g08_c01.avi")
        with pytest.raises(MediaError, match="no such clip"):
            made.convert(items[1], Shown())
    finally:
        store.rm("/ucf101-full", recursive=True)
