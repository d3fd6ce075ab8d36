"""Headers of many files at once are those that are read one at a time."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from phi3v_data.schema.index.facts_table import decode_facts
from phi3v_data.schema.index.image_reader import ImageReader
from phi3v_data.schema.index.quick_files import QuickFiles
from phi3v_data.schema.rules.examples import Drawing
from phi3v_data.storage import LocalFolder

_DRAWINGS = {
    "a.jpg": Drawing(),
    "b.jpg": Drawing(width=100, height=80),
    "grey.jpg": Drawing(mode="L"),
    "turned.jpg": Drawing(orientation=6),
    "deep/c.png": Drawing("PNG"),
    "clear.png": Drawing("PNG", mode="RGBA"),
    "names.jpg": Drawing("PNG"),
}


def test_what_it_answers_is_what_the_reader_of_one_says_and_odd_files_are_left_to_that(tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for name, drawing in _DRAWINGS.items():
        (images / name).write_bytes(drawing.encode())
    long = Drawing().encode()
    (images / "long.jpg").write_bytes(long[:2] + b"\xff\xfe" + (10_000).to_bytes(2, "big") + bytes(9_998) + long[2:])
    (images / "link.jpg").symlink_to("a.jpg")
    (images / "empty.jpg").touch()
    (images / "page.jpg").write_text("<html>")
    (images / "huge.png").write_bytes(Drawing("PNG", 10000, 9000, "1", flat=True).encode())
    (images / "moving.gif").write_bytes(Drawing("GIF", mode="P", frames=3).encode())
    os.mkfifo(images / "fifo.jpg")
    odd = ["link.jpg", "empty.jpg", "page.jpg", "huge.png", "moving.gif", "fifo.jpg", "deep", "none.jpg", "a\0.jpg"]
    quick = QuickFiles(str(tmp_path), "images")
    found = quick.read([*odd, *_DRAWINGS, "long.jpg"])
    assert found.names == [*_DRAWINGS, "long.jpg"]
    reader = ImageReader(LocalFolder(tmp_path), "header")
    expected = [reader.file(f"images/{name}").facts for name in found.names]
    assert [msgspec.structs.asdict(decode_facts(each)) for each in found.facts] == [
        msgspec.structs.asdict(each) for each in expected
    ]
    assert [quick.headers[kind].width for kind in found.kinds] == [each.width for each in expected]


def test_a_folder_that_is_not_there_has_no_headers(tmp_path: Path) -> None:
    assert QuickFiles(str(tmp_path), "images").read(["a.jpg"]).names == []
