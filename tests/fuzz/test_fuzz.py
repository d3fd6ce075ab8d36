"""The fuzzing frame finds what is planted; each target stands a short run under a fixed seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = sorted(path.stem for path in Path(__file__).with_name("targets").glob("*.py"))

PLANTED = """
import os, time
from pathlib import Path
from phi3v_data.schema.errors import InputError

def corpus(folder: Path) -> None:
    (folder / "sound.txt").write_bytes(b"sound" * 100)

def check(file: Path) -> None:
    data = file.read_bytes()
    if data != b"sound" * 100:
        {damage}
"""


def fuzz(target: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", target, *map(str, options)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("os.abort()", "SIGABRT"),
        ("raise KeyError('planted')", "KeyError: 'planted'"),
        ("time.sleep(600)", "no end within 0.5 s"),
        ("raise InputError('two\\nlines')", "a message that is not one short line"),
        ("bytearray(1 << 40)", "MemoryError"),
    ],
)
def test_planted_damage_is_found_and_its_file_kept(tmp_path: Path, damage: str, expected: str) -> None:
    target = tmp_path / "planted.py"
    target.write_text(PLANTED.replace("{damage}", damage.replace("\n", "\\n")), "utf-8")
    done = fuzz(str(target), "--seed", 7, "--cases", 1, "--timeout", 0.5, "--keep", tmp_path / "kept")
    assert done.returncode == 1
    assert "planted: --seed 7 --case 0: " in done.stdout
    assert expected in done.stdout
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["planted-7-0-sound.txt"]


def test_the_errors_of_the_package_are_no_findings(tmp_path: Path) -> None:
    target = tmp_path / "planted.py"
    target.write_text(PLANTED.replace("{damage}", "raise InputError('damaged')"), "utf-8")
    done = fuzz(str(target), "--seed", 7, "--cases", 50, "--keep", tmp_path / "kept")
    assert done.returncode == 0
    assert "planted: seed 7, 50 cases, 0 findings" in done.stdout


# A case of these reads whole datasets, or loads models.
FEWER = {"checkpoints": 15, "datasets": 60, "validation": 30}


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_stands_some_damaged_files(tmp_path: Path, target: str) -> None:
    done = fuzz(target, "--seed", 1, "--cases", FEWER.get(target, 150), "--keep", tmp_path / "kept")
    assert done.returncode == 0, done.stdout + done.stderr
