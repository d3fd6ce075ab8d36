"""Every command with every place that it cannot read from or write to: one line, exit code 2, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from colours import colour_records, write_dataset
from command_line import full_disk, typed, unprivileged
from small_run import write_run

CONVERT = ("convert", "--workers", "1", "--source")

# Where a place is read from, and the command that is given it for @.
READING: dict[str, tuple[str, ...]] = {
    "validate": ("validate", "@"),
    "validate --baseline": ("validate", "good", "--baseline", "@"),
    "validate --model": ("validate", "good", "--model", "@"),
    "select": ("select", "@", "--out", "out"),
    "select --keep ids": ("select", "good", "--out", "out", "--keep", "ids=@"),
    "train": ("train", "@", "--model", "tiny"),
    "train --data": ("train", "--data", "@:2", "--model", "tiny"),
    "train --dry-run": ("train", "@", "--model", "tiny", "--dry-run"),
    "train --config": ("train", "good", "--config", "@"),
    "train --model": ("train", "good", "--model", "@"),
    "train --init-adapter": ("train", "good", "--model", "tiny", "--init-adapter", "@"),
    "train --resume": ("train", "good", "--model", "tiny", "--resume", "@"),
    "evaluate": ("evaluate", "@", "--checkpoint", "tiny"),
    "evaluate --checkpoint": ("evaluate", "good", "--checkpoint", "@"),
    "evaluate --compare": ("evaluate", "good", "--checkpoint", "tiny", "--compare", "@"),
    "predict": ("predict", "--checkpoint", "tiny", "--prompt", "?", "@"),
    "predict --checkpoint": ("predict", "--prompt", "?", "--checkpoint", "@"),
    "predict --data": ("predict", "--checkpoint", "tiny", "--data", "@"),
    "export": ("export", "@", "--out", "out"),
    "export-data": ("export-data", "@", "--format", "trl", "--out", "out"),
    "order": ("order", "@", "--steps", "0:1"),
    "estimate": ("estimate", "@", "--model", "tiny"),
    "estimate --model": ("estimate", "good", "--model", "@"),
    "card": ("card", "@", "--no-measure"),
    "card --model": ("card", "good", "--model", "@"),
    "report": ("report", "@"),
    "report --model": ("report", "good", "--model", "@"),
    "push": ("push", "@", "owner/name", "--dry-run"),
    "recipes --results": ("recipes", "--results", "@"),
    "convert --config": ("convert", "--config", "@"),
    "convert --source": (*CONVERT, "@:Class", "--out", "out"),
    **{
        f"convert --source {source}": (*CONVERT, *source.split(), "--input", "@", "--out", "out")
        for source in (
            "ucf101 --frames 2",
            "video-folder --prompt ?",
            "image-folder",
            "docvqa",
            "nlvr2",
            "hateful_memes",
            "chat",
            "table --images i --prompt ? --answer a",
        )
    },
}
UNREADABLE = {
    "missing": "nowhere",
    "file": "file",
    "folder": "folder",
    "below a file": "file/inside",
    "locked folder": "locked",
    "below a locked folder": "locked/inside",
    "locked file": "locked-file",
    "no credentials": "s3://bucket/folder",
}

WRITING: dict[str, tuple[str, ...]] = {
    "convert": (*CONVERT, "image-folder", "--input", "good/images", "--out", "@"),
    "select": ("select", "good", "--out", "@"),
    "validate --fix": ("validate", "good", "--fix", "--out", "@"),
    "train": ("train", "good", "--model", "tiny", "--out", "@"),
    "evaluate": ("evaluate", "good", "--checkpoint", "tiny", "--out", "@"),
    "export": ("export", "tiny", "--out", "@"),
    "export-data": ("export-data", "good", "--format", "trl", "--out", "@"),
    "card": ("card", "good", "--no-measure", "--out", "@"),
    "card of a run": ("card", "run", "--out", "@"),
    "report": ("report", "good", "--out", "@"),
    "report of a run": ("report", "run", "--out", "@"),
    "sources new": ("sources", "new", "mine", "--out", "@"),
    "demo": ("demo", "--out", "@"),
}
UNWRITABLE = {
    "file": "file",
    "below a file": "file/inside",
    "device": "device",
    "below a locked folder": "locked/inside",
    "below a read-only folder": "read-only/inside",
    "no file system for it": "/proc/nowhere",
    "full disk": "disk/inside/deeper",
    "no credentials": "s3://bucket/folder",
}
KEPT = {"cache", ".index"}
# An evaluation's result may take the place of an earlier one.
ALLOWED = {("evaluate", "file")}

REMEDIES = (
    "expected", "give", "name ", "pass ", "choose", "set AWS_", "make one", "write one", "check ", "make it", "fix",
    "takes", "needs", "copy it", "copy that", "unset", "add", "put", "started by", "not a dataset", "no model folder",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with a good dataset, a run, and every bad place, which is the working folder."""
    root = tmp_path_factory.mktemp("places")
    write_dataset(root / "good", {"train": colour_records("train", 3), "val": colour_records("val", 3)})
    write_run(root / "run", root / "good", 1e-3, ["cat"] * 5)
    for name in ("file", "locked-file", "folder/notes", "locked/inside/notes"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not what was expected")
    (root / "device").symlink_to("/dev/full")
    (root / "read-only").mkdir()
    for name, mode in (("locked-file", 0), ("locked", 0), ("read-only", 0o555)):
        (root / name).chmod(mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        yield
    (root / "locked").chmod(0o700)


@pytest.fixture(scope="module")
def disk() -> Iterator[None]:
    with full_disk(Path("disk")):
        yield


def refused(capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], place: str) -> None:
    before = files()
    with unprivileged():
        answer = typed(capfd, *(argument.replace("@", place) for argument in arguments))
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("phi3v-data: ")
    assert "unexpected" not in lines[0]
    assert "s3:/" not in lines[0].replace("s3://", "")
    assert any(remedy in lines[0] for remedy in REMEDIES), lines[0]
    assert answer.code == 2
    assert files() == before


def files() -> set[Path]:
    """Every file but those of the index, which are kept for the next run."""
    return {path for path in Path().rglob("*") if path.is_file() and not KEPT & {*path.parts}}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("command", READING)
def test_a_place_that_cannot_be_read_is_one_line(command: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    refused(capfd, READING[command], UNREADABLE[kind])


@pytest.mark.parametrize("kind", [kind for kind in UNWRITABLE if kind != "full disk"])
@pytest.mark.parametrize("command", WRITING)
def test_a_place_that_cannot_be_written_is_one_line(command: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    if (command, kind) not in ALLOWED:
        refused(capfd, WRITING[command], UNWRITABLE[kind])


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("command", WRITING)
def test_a_full_disk_is_one_line(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    refused(capfd, WRITING[command], UNWRITABLE["full disk"])


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    command = f"{sys.executable} -m phi3v_data.cli rules > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == "phi3v-data: the disk is full (No space left on device); fix that and rerun\n"
    assert done.returncode == 1


def test_every_command_that_takes_a_place_is_walked() -> None:
    from phi3v_data.cli.main import COMMANDS

    walked = {line[0] for line in (*READING.values(), *WRITING.values())}
    assert set(COMMANDS) - walked == {"rules", "doctor", "completion"}
