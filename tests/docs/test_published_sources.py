"""The pages of the published sources: their row, converted by their command, is the record that they show."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from pages import blocks, records_in, same
from raw_questions import as_document, image

from phi3v_data.cli.main import answer
from phi3v_data.converters.video.synthesis import write_clip

DOCS = Path(__file__).resolve().parents[2] / "docs" / "sources"


class Raw(NamedTuple):
    """Where the row that a page shows is published, and the images it names."""

    file: str
    images: tuple[str, ...]


RAW = {
    "docvqa": Raw("DocVQA/val_v1.0_withQT.json", ("DocVQA/documents/linn.png",)),
    "hateful_memes": Raw("hateful_memes/train.jsonl", ("hateful_memes/img/42953.png",)),
    "nlvr": Raw("nlvr/dev/dev.json", tuple(f"nlvr/dev/images/2/dev-3125-1-{number}.png" for number in range(6))),
    "nlvr2": Raw("nlvr2/dev.json", tuple(f"nlvr2/images/dev/dev-850-0-img{number}.png" for number in (0, 1))),
}


def convert_as_shown(page: str, *options: str) -> list[Any]:
    """Give the page's first command, and return the records it shows."""
    found = blocks(DOCS / f"{page}.md")
    command = next(block.text for block in found if block.info == "console")
    _, *words = shlex.split(command.removeprefix("$ "))
    assert answer([*words, *options]) == 0
    return [json.loads(block.text) for block in found if block.info == "json"]


@pytest.mark.parametrize("page", RAW)
def test_the_row_of_a_page_becomes_the_record_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = json.loads(next(block.text for block in blocks(DOCS / f"{page}.md") if block.info == "json"))
    file = tmp_path / RAW[page].file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(as_document(row) if page == "docvqa" else json.dumps(row).encode() + b"\n")
    for number, name in enumerate(RAW[page].images):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(image(number))
    shown = convert_as_shown(page)[1]
    assert any(same(shown, record) for record in records_in(tmp_path)), records_in(tmp_path)


def test_a_clip_of_ucf101_becomes_the_record_that_its_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("BabyCrawling", "ApplyEyeMakeup"):
        clip = tmp_path / f"clips/val/{label}/v_{label}_g21_c04.avi"
        clip.parent.mkdir(parents=True)
        write_clip(clip, (np.full((32, 48, 3), 40 * number, np.uint8) for number in range(5)))
    (shown,) = convert_as_shown("ucf101", "--input", "clips")
    shown["meta"]["sha256"] = "..."  # of a clip that is not ours
    assert any(same(shown, record) for record in records_in(tmp_path)), records_in(tmp_path)
