"""Pages of the documentation, run: their files are made, their commands given, what they show is compared.

Fenced blocks say by their first line what they are: `text layout` lists files (an image or clip by its suffix, a text
by what stands behind the name; a name that comes again adds a line), `json NAME` and `python` (by `# NAME:`) are files,
`console` are commands and what they print, `json` is a record that some command has written.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image


class Block(NamedTuple):
    info: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [Block(info, text) for info, text in found]


def make_files(block: Block, root: Path, clip: Path | None = None) -> None:
    """Make what a block shows, if it shows files."""
    kind, _, name = block.info.partition(" ")
    if block.info == "text layout":
        for line in block.text.splitlines():
            path, _, text = line.partition("  ")
            _make(root / path, text.strip(), clip)
    elif kind == "python":
        name = block.text[2 : block.text.index(":")]
        (root / name).write_text(block.text, encoding="utf-8")
    elif kind == "json" and name:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(block.text, encoding="utf-8")


def _make(path: Path, text: str, clip: Path | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in {".png", ".jpg", ".webp"}:
        Image.new("RGB", (32, 24), "red").save(path)
    elif path.suffix == ".avi" and clip is not None:
        shutil.copyfile(clip, path)
    else:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")


def run_console(block: Block, root: Path) -> None:
    """Give the commands of a block, and hold what each prints against what is shown."""
    for shown in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = shown.partition("\n")
        line = re.sub(r"^phi3v-data(?= )", f"{sys.executable} -m phi3v_data.cli", command)
        done = subprocess.run(line, shell=True, cwd=root, capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == (expected, 0), f"{command}\n{done.stdout}{done.stderr}"


def same(shown: Any, found: Any) -> bool:
    """Compare what a page shows with what there is; "..." stands for anything."""
    if shown == "...":
        return True
    if isinstance(shown, dict) and isinstance(found, dict):
        return shown.keys() == found.keys() and all(same(value, found[key]) for key, value in shown.items())
    if isinstance(shown, list) and isinstance(found, list):
        return len(shown) == len(found) and all(map(same, shown, found))
    return bool(shown == found)


def records_in(root: Path) -> list[Any]:
    """Every record that was written below a folder."""
    files = sorted(root.glob("data/*/*_*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
