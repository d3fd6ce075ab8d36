"""What docs/sources shows is what the sources do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import msgspec
import pytest
from raw_questions import Raw, as_lines
from record_meta import meta_of

from phi3v_data.cli.main import _group
from phi3v_data.converters.registry import load_source, options_of, source_names
from phi3v_data.schema.record import decode_record

DOCS = Path(__file__).resolve().parents[3] / "docs" / "sources"
PAGES = ("docvqa", "hateful_memes", "nlvr", "nlvr2", "ucf101")

# Where a page's first row stands, beside which images.
LAYOUTS = {
    "docvqa": ("val_v1.0_withQT.json", ["documents/linn.png"]),
    "hateful_memes": ("train.jsonl", ["img/42953.png"]),
    "nlvr": ("dev.json", ["images/2/dev-3125-1-0.png"]),
    "nlvr2": ("dev.json", ["images/dev/dev-850-0-img0.png", "images/dev/dev-850-0-img1.png"]),
}


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / f"{page}.md").read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_shown_are_ones_that_parse(page: str) -> None:
    (shown,) = blocks(page, "console")
    line = shown.strip().removeprefix("$ ")
    assert page in source_names()
    assert f"--source {page}" in line
    program, name, *arguments = shlex.split(line)
    assert (program, name) == ("phi3v-data", "convert")
    command = _group.get_command(_group.make_context("phi3v-data", [name], resilient_parsing=True), name)
    assert command is not None
    command.make_context(name, arguments)


@pytest.mark.parametrize("page", LAYOUTS)
def test_the_row_shown_becomes_the_record_shown(page: str, tmp_path: Path) -> None:
    row, record = map(json.loads, blocks(page, "json")[:2])
    file, images = LAYOUTS[page]
    raw = Raw(tmp_path, page)
    # A file of one line would be a document of its own.
    raw.write(file, as_lines(row, {}))
    raw.images(*images)
    (made,) = raw.records()
    assert msgspec.to_builtins(made) == record


@pytest.mark.parametrize("page", [page for page in LAYOUTS if page != "nlvr"])
def test_the_row_of_the_cauldron_shown_becomes_the_record_shown(page: str, tmp_path: Path) -> None:
    row, record = map(json.loads, blocks(page, "json")[2:])
    # The groups shown are hashes of these bytes.
    row["images"] = [{"bytes": f"image {number}".encode(), "path": None} for number, _ in enumerate(row["images"])]
    raw = Raw(tmp_path, page)
    raw.table("train-00000-of-00001.parquet", [row])
    (made,) = raw.records()
    assert msgspec.to_builtins(made) == record


def test_the_clip_shown_becomes_the_record_shown(clip: Path, tmp_path: Path) -> None:
    (paths,), (text,) = blocks("ucf101", "text"), blocks("ucf101", "json")
    raw = Raw(tmp_path, "ucf101")
    for path in paths.split():
        raw.write(path, b"")
        shutil.copyfile(clip, raw.root / path)
    made = raw.convert(sampling={"frames": 1}).records
    shown = decode_record(text.replace("\n", " "))
    assert isinstance(shown.meta, dict)
    # The clip is the test's own; its hash is of its own bytes.
    assert len(meta_of(shown)["sha256"]) == 64
    expected = msgspec.to_builtins(shown) | {"meta": {**shown.meta, "sha256": meta_of(made[shown.id])["sha256"]}}
    assert msgspec.to_builtins(made[shown.id]) == expected


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_page_names_is_one(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    ours = {f"--{option.name.replace('_', '-')}" for option in options_of(load_source(page))}
    general = {"--source", "--input", "--frames", "--fps", "--jitter", "--seed", "--sampling"}
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text)) <= ours | general
