"""The pages about sources of one's own, folders and chat files: every file, command, output and record they show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pages import blocks, make_files, records_in, run_console, same

from phi3v_data.converters.registry import ENTRY_POINTS
from phi3v_data.converters.video.synthesis import write_clip

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("converters.md", "sources/chat.md", "sources/image-folder.md", "sources/video-folder.md")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    frames = (np.full((32, 48, 3), 20 * number, np.uint8) for number in range(10))
    clip = write_clip(tmp_path / "clip.avi", frames) if "video" in page else None
    shown = []
    for block in blocks(DOCS / page):
        make_files(block, tmp_path, clip)
        if block.info == "console":
            run_console(block, tmp_path)
        elif block.info == "json":
            shown.append(json.loads(block.text))
    assert shown
    for record in shown:
        assert any(same(record, found) for found in records_in(tmp_path)), record


def test_the_first_source_takes_under_forty_lines() -> None:
    first = next(block.text for block in blocks(DOCS / "converters.md") if block.info == "python")
    assert first.startswith("# captions.py: ")
    assert len(first.splitlines()) < 40


def test_the_entry_point_shown_is_the_one_that_is_looked_up() -> None:
    (toml,) = (block.text for block in blocks(DOCS / "converters.md") if block.info == "toml")
    assert re.findall(r'entry-points\."(.*?)"', toml) == [ENTRY_POINTS]
