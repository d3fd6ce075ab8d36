"""The page about what a run reads: its commands, given to its own data, print what it shows."""

from __future__ import annotations

from pathlib import Path

from pages import blocks, make_files, run_console

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training-data.md"


def test_what_the_page_shows_is_what_happens(tmp_path: Path) -> None:
    for block in blocks(PAGE):
        make_files(block, tmp_path)
        if block.info == "console":
            run_console(block, tmp_path)
