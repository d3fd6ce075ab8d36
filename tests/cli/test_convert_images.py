"""The options of `convert` that every source's images obey."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from phi3v_data.cli.main import load_command
from phi3v_data.schema.errors import UsageError

PATCHES = Path(__file__).parent.parent / "support" / "patches.py"


def run(raw: Path, *flags: str) -> Result:
    given = ["--source", f"{PATCHES}:Patches", "--input", str(raw), "--out", str(raw.parent / "out"), "--workers", "1"]
    return CliRunner().invoke(load_command("convert"), [*given, *flags])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw" / "train").mkdir(parents=True)
    (tmp_path / "raw" / "train" / "0.json").write_text('{"colours": [[9, 0, 0]]}')
    return tmp_path / "raw"


def test_every_option_reaches_the_images_and_the_manifest(raw: Path) -> None:
    flags = ["--quality", "30", "--image-format", "png", "--max-pixels", "40", "--max-side", "5", "--fit-crops", "4"]
    result = run(raw, *flags)
    assert result.exit_code == 0, result.output
    out = raw.parent / "out"
    assert [path.name for path in out.rglob("images/**/*.*")] == ["0.0.png"]
    options = json.loads((out / "dataset.json").read_text())["options"]
    expected = {"quality": 30, "image_format": "png", "max_pixels": 40, "max_side": 5, "fit_crops": 4}
    assert {name: options[name] for name in expected} == expected
    again = run(raw, *flags[:-1], "9")
    assert isinstance(again.exception, UsageError)
    assert "fit_crops 4 -> 9" in str(again.exception)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--max-pixels", "0"), ("--max-side", "x"), ("--fit-crops", "0"), ("--image-format", "gif"), ("--quality", "0")],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_flag(raw: Path, flag: str, value: str) -> None:
    result = run(raw, flag, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{flag}'" in result.output
