"""The files under docs/launch are read as their readers read them, and what they run is what the command line takes."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from phi3v_data.cli.main import COMMANDS, load_command
from phi3v_data.trainer.recipes import load_recipe, recipe_names

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "launch"
SCRIPTS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".sh", ".sbatch"))
JOBS = sorted(path.name for path in FOLDER.glob("*.yml"))
README = (FOLDER / "README.md").read_text()


def commands(text: str) -> list[list[str]]:
    """Every call of our command line in a script, as its arguments."""
    joined = re.sub(r"\$\{[^}]*\}+|\$\w+", "VALUE", text.replace("\\\n", " "))
    names = "|".join(COMMANDS)
    calls = re.findall(rf"(?:phi3v-data|-m phi3v_data\.cli) ((?:{names})\b[^\n&`]*)", joined)
    return [shlex.split(call) for call in calls]


def check(arguments: list[str]) -> None:
    """Parse a call by the command's own options, without running it."""
    name, *rest = arguments
    load_command(name).make_context(name, rest)
    if "--recipe" in rest:
        load_recipe(rest[rest.index("--recipe") + 1])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_valid_and_its_commands_are_ours(name: str) -> None:
    subprocess.run(["bash", "-n", str(FOLDER / name)], check=True)
    calls = commands((FOLDER / name).read_text())
    assert any(call[0] == "train" for call in calls)
    for call in calls:
        check(call)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_azure_ml_starts_one_process_a_gpu(name: str) -> None:
    job = yaml.safe_load((FOLDER / name).read_text())
    assert (job["type"], job["distribution"]) == ("command", {"type": "pytorch", "process_count_per_instance": 8})
    assert job["resources"]["instance_type"] in README
    (call,) = commands(job["command"])
    check(call)
    # A V100 has no bf16.
    assert ("fp16" in call) is ("nd40rs" in name)


def test_slurm_starts_one_task_a_gpu_and_warns_before_the_time_is_over() -> None:
    text = (FOLDER / "slurm.sbatch").read_text()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?", text, re.MULTILINE))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert asked["signal"].startswith("USR1@")
    assert "requeue" in asked


def test_the_readme_names_every_file_and_its_commands_are_ours() -> None:
    assert all(f"({name})" in README for name in (*SCRIPTS, *JOBS))
    for call in commands(README):
        check(call)
    assert all(strategy in README for strategy in {load_recipe(name).strategy for name in recipe_names()})
