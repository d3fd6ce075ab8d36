"""What works here: told without a network, and without failing over what is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from phi3v_data.cli import doctor_checks
from phi3v_data.cli.main import run_command


def test_every_group_is_there_and_advice_goes_with_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)
    assert list(groups) == ["Versions", "Training", "Extras", "Hub", "Disk"]
    checks = [check for group in groups.values() for check in group]
    assert all(check["advice"] for check in checks if check["status"] in ("missing", "slow", "fails"))
    assert {check["name"] for check in groups["Versions"]} >= {"phi3v-data", "av", "pillow"}


def test_a_package_that_everything_needs_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(package: str) -> str:
        return "" if package in ("av", "torch") else "1.0"

    monkeypatch.setattr(doctor_checks, "_version", version)
    assert run_command(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "av" in out
    assert "pip install phi3v-data\n" in out
    assert "not installed: torch" in out
    assert "pip install 'phi3v-data[train]'" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", shell]) == 0
    assert "_PHI3V_DATA_COMPLETE" in capsys.readouterr().out


def test_bash_completes_commands_and_values(tmp_path: Path) -> None:
    program = tmp_path / "phi3v-data"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m phi3v_data.cli "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(phi3v-data completion bash)"; COMP_WORDS=(phi3v-data card --no); COMP_CWORD=2; '
        '_phi3v_data_completion phi3v-data; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--no-measure"], done.stderr
