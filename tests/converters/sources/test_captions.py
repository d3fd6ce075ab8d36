"""image-folder with a text beside each image."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import convert_here
from raw_questions import image
from record_meta import meta_of

from phi3v_data.schema.errors import InputError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    texts = {
        "a.png": "a.txt",
        "b.png": "b.png.txt",
        "deep/c.jpg": "deep/c.txt",
        "lost.png": None,
        "blank.png": "blank.txt",
    }
    for number, (name, text) in enumerate(texts.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(number, "JPEG" if name.endswith("jpg") else "PNG"))
        if text is not None:
            (folder / text).write_text(" \n" if text == "blank.txt" else f" A {path.stem}.\n")
    return folder


def test_the_text_beside_an_image_is_its_answer_and_what_has_none_is_refused_by_name(
    root: Path, tmp_path: Path
) -> None:
    found = convert_here("image-folder", root, tmp_path / "out", captions=".txt", split_ratio="train=1")
    assert [(r.conversations[0].user, r.conversations[0].assistant, meta_of(r)["image"]) for r in found.all()] == [
        ("Describe the image.", "A a.", "a.png"),
        ("Describe the image.", "A b.", "b.png"),
        ("Describe the image.", "A c.", "deep/c.jpg"),
    ]
    assert "label" not in meta_of(found.all()[0])
    assert (found.images / "train/a.png.0.png").read_bytes() == (root / "a.png").read_bytes()
    assert found.reasons() == {
        "blank.png": "blank.txt: empty; expected the answer",
        "lost.png": "no text beside it; expected lost.txt",
    }


def test_a_prompt_of_ones_own_is_used_and_folders_may_be_the_splits(root: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "lost.png", "blank.png"):
        (root / name).unlink()
    found = convert_here("image-folder", root, tmp_path / "out", captions=".txt", split_by="folder", prompt=["What?"])
    assert {split: [r.conversations[0].user for r in records] for split, records in found.records.items()} == {
        "deep": ["What?"]
    }


def test_what_captions_do_not_go_with_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--stratify is for classes"):
        convert_here("image-folder", root, tmp_path / "out", captions=".txt", stratify=True)
    with pytest.raises(UsageError, match="names 'labels'"):
        convert_here("image-folder", root, tmp_path / "out", captions=".txt", prompt=["{{ labels }}"])
    with pytest.raises(InputError, match=r"a\.png: an image in no folder"):
        convert_here("image-folder", root, tmp_path / "out", captions=".txt", split_by="folder")
