from __future__ import annotations

from pathlib import Path

import click
import pytest

from phi3v_data.cli.main import run_command
from phi3v_data.schema.errors import OutputError
from phi3v_data.trainer.phi3v.loading import load_model


def test_a_model_is_exported_and_what_was_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "tiny", "--out", str(tmp_path / "out"), "--dtype", "bf16", "--shard-size", "200KB"]
    assert run_command(arguments) == 0
    assert str(load_model(tmp_path / "out").dtype) == "torch.bfloat16"
    files = list((tmp_path / "out").iterdir())
    assert f"{sum(file.stat().st_size for file in files):,} bytes in {len(files)} files" in capsys.readouterr().out
    with pytest.raises(OutputError, match="choose another one"):
        run_command(arguments)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--shard-size", "5", "expected a number and KB, MB or GB"),
        ("--shard-size", "0GB", "expected a number and KB, MB or GB"),
        ("--auto-map", "code", "expected beside, or a hub repository OWNER/NAME"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(tmp_path: Path, option: str, value: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        run_command(["export", "tiny", "--out", str(tmp_path / "out"), option, value])
    assert not (tmp_path / "out").exists()
