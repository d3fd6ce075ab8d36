"""What the README shows is what works."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from phi3v_data.cli.main import COMMANDS, _group

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
SHOWN = [line for line in re.findall(r"^\$ (phi3v-data .*)$", README, flags=re.MULTILINE) if "COMMAND" not in line]


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_shown_is_one_that_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    assert name in COMMANDS
    command = _group.get_command(_group.make_context("phi3v-data", [name], resilient_parsing=True), name)
    assert command is not None
    command.make_context(name, arguments)


def test_the_three_commands_of_the_first_lines_are_shown_first() -> None:
    assert SHOWN[:3] == [
        "phi3v-data convert --source ucf101 --frames 8",
        "phi3v-data validate",
        "phi3v-data train",
    ]


def test_the_source_shown_converts_in_under_forty_lines(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(# captions\.py.*?)```", README, flags=re.DOTALL)
    assert len(code.splitlines()) < 40
    (tmp_path / "captions.py").write_text(code)
    (tmp_path / "pictures").mkdir()
    for name, caption in (("a", "A cat."), ("b", "A dog.")):
        Image.new("RGB", (32, 24)).save(tmp_path / "pictures" / f"{name}.png")
        (tmp_path / "pictures" / f"{name}.png.txt").write_text(caption)
    line = next(line for line in SHOWN if "captions.py:Captions" in line)
    command = [sys.executable, "-m", "phi3v_data.cli", *shlex.split(line)[1:], "--workers", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    records = [json.loads(line) for line in (tmp_path / "data/captions/captions_train.jsonl").read_text().splitlines()]
    assert [record["conversations"][0] for record in records] == [
        {"images": [f"train/{name}.png.0.jpg"], "user": "Describe this.", "assistant": caption}
        for name, caption in (("a", "A cat."), ("b", "A dog."))
    ]
    validate = [sys.executable, "-m", "phi3v_data.cli", "validate", "data/captions"]
    subprocess.run(validate, cwd=tmp_path, check=True, capture_output=True)


def test_the_record_shown_is_one() -> None:
    from phi3v_data.schema.record import decode_record

    (shown,) = re.findall(r"```json\n(.*?)```", README, flags=re.DOTALL)
    assert decode_record(shown.replace("\n", " ")).id == "val-0000000300"
