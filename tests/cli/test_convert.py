from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from phi3v_data.cli.main import load_command
from phi3v_data.converters.video.synthesis import write_clip
from phi3v_data.schema.errors import OutputError, Phi3VDataError, UsageError

PATCHES = Path(__file__).parent.parent / "support" / "patches.py"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(load_command("convert"), list(arguments), catch_exceptions=True)


@pytest.fixture
def patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for split, count in {"train": 3, "val": 2}.items():
        for number in range(count):
            path = tmp_path / "raw" / split / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"colours": [[number, 0, 0]], "does": "damaged" if number == 1 else ""}))
    return tmp_path


def test_a_source_in_a_local_file_lands_under_data_by_its_own_name_and_prints_the_law(patches: Path) -> None:
    result = run("--source", f"{PATCHES}:Patches", "--input", "raw", "--set", "side=5")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()[:3]] == [
        ["split", "discovered", "written", "quarantined", "skipped", "images"],
        ["train", "3", "2", "1", "0", "2"],
        ["val", "2", "1", "1", "0", "1"],
    ]
    assert "2 items could not be converted" in result.output
    assert (patches / "data/patches/patches_train.jsonl").exists()


def test_the_same_command_again_says_that_all_is_done(patches: Path) -> None:
    arguments = ("--source", f"{PATCHES}:Patches", "--input", "raw", "--out", "out")
    run(*arguments)
    again = run(*arguments)
    assert again.exit_code == 0
    assert "already complete" in again.output


def test_options_reach_the_source_and_the_engine(patches: Path) -> None:
    flags = ["--frames", "3", "--sampling", "segment", "--jitter", "--seed", "7", "--quality", "30", "--limit", "2"]
    result = run("--source", f"{PATCHES}:Patches", "--input", "raw", "--out", "out", "--splits", "train, val", *flags)
    assert result.exit_code == 0, result.output
    options = json.loads((patches / "out/dataset.json").read_text())["options"]
    assert options["sampling"] == {"strategy": "segment", "frames": 3, "fps": None, "jitter": True, "seed": 7}
    assert (options["quality"], options["limit"], options["splits"]) == (30, 2, ["train", "val"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--frames", "0"], "frames = 0: give at least 1"),
        (["--sampling", "fps"], "give fps too"),
        (["--fps", "2"], "means nothing to sampling uniform"),
        (["--set", "sides=1"], "did you mean 'side'"),
        (["--set", "side=0"], "side='0'"),
        (["--splits", "vall"], "no split 'vall'; this source has: train, val"),
    ],
)
def test_options_that_cannot_work_are_refused_in_words(patches: Path, flags: list[str], said: str) -> None:
    result = run("--source", f"{PATCHES}:Patches", "--input", "raw", *flags)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert not (patches / "data").exists()


@pytest.mark.parametrize("flags", [["--decoder", "pyav"], ["--set", "side"], ["--limit", "0"], ["--quality", "101"]])
def test_flags_that_mean_nothing_here_are_refused(patches: Path, flags: list[str]) -> None:
    result = run("--source", f"{PATCHES}:Patches", "--input", "raw", *flags)
    assert result.exit_code == 2
    assert flags[0] in result.output


def test_an_unknown_source_is_refused_and_the_nearest_suggested() -> None:
    result = run("--source", "ucf110")
    assert isinstance(result.exception, Phi3VDataError)
    assert "did you mean 'ucf101'" in str(result.exception)


def test_clips_become_frames(tmp_path: Path) -> None:
    for name in ("v_Run_g01_c01", "v_Run_g02_c01"):
        clip = tmp_path / "raw/train/Run" / f"{name}.avi"
        clip.parent.mkdir(parents=True, exist_ok=True)
        write_clip(clip, np.zeros((6, 48, 64, 3), np.uint8))
    result = run(
        "--source", "ucf101", "--input", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), "--frames", "2"
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out/images/train/Run").iterdir())) == 4
    assert {"pyav", "libavcodec", "opencv"} <= set(json.loads((tmp_path / "out/dataset.json").read_text())["decoders"])


def test_sources_lists_every_source_with_its_options() -> None:
    text = CliRunner().invoke(load_command("sources"), []).output
    assert "\nucf101  Clips of UCF-101" in text
    assert re.search(r"--fold INTEGER RANGE [^[]*\[default: 1\] \[1<=x<=3\]", " ".join(text.split()))
    assert "--turns [question|document]" in text
    listed = json.loads(CliRunner().invoke(load_command("sources"), ["--json"]).output)["sources"]
    assert {"name", "package", "summary", "failure", "options"} == set(listed[0])
    (ucf101,) = (source for source in listed if source["name"] == "ucf101")
    assert {"frames", "sampling", "decoder", "fold"} <= {option["name"] for option in ucf101["options"]}


def test_shards_are_written_beside_or_instead_of_the_images(patches: Path) -> None:
    result = run("--source", f"{PATCHES}:Patches", "--input", "raw", "--out", "out", "--shards", "--no-images")
    assert result.exit_code == 0, result.output
    assert (patches / "out/shards/patches-train-000000.tar").exists()
    assert not (patches / "out/images").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--shards", "--shard-size", "many"], "expected a number of bytes such as 500000, 100MB or 1GB"),
        (["--shard-size", "1GB"], "--shard-size needs --shards"),
    ],
)
def test_sizes_of_shards_are_checked(patches: Path, flags: list[str], said: str) -> None:
    result = run("--source", f"{PATCHES}:Patches", "--input", "raw", *flags)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(("text", "size"), [("100MB", 100_000_000), ("1G", 10**9), ("5 kB", 5000), ("77", 77)])
def test_sizes_are_read_as_people_write_them(patches: Path, text: str, size: int) -> None:
    run("--source", f"{PATCHES}:Patches", "--input", "raw", "--out", "out", "--shards", "--shard-size", text)
    assert json.loads((patches / "out/dataset.json").read_text())["options"]["shard_size"] == size


def test_a_split_that_no_sample_fell_into_is_named_with_what_to_do(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), len(label), np.uint8)).save(tmp_path / "raw" / label / "0.png")
    ratio = ("--split-ratio", "train=0.999,val=0.001")
    result = run("--source", "image-folder", "--input", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), *ratio)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == (
        "split val is empty: none of 2 items fell into it; give it a larger share with --split-ratio, "
        "or --stratify, or add samples"
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file", "below a file; --out needs a folder"),
        ("file/below", "below a file"),
        ("/proc/out", "cannot be written"),
    ],
)
def test_an_output_place_that_will_not_do_is_refused_before_the_input_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    result = run("--source", f"{PATCHES}:Patches", "--input", "nowhere", "--out", place)
    assert isinstance(result.exception, OutputError)
    assert said in str(result.exception)
    assert result.exception.exit_code == 2


def test_an_item_timeout_is_a_number_of_seconds(patches: Path) -> None:
    assert run("--source", f"{PATCHES}:Patches", "--input", "raw", "--item-timeout", "0").exit_code == 2
    assert run("--source", f"{PATCHES}:Patches", "--input", "raw", "--item-timeout", "90").exit_code == 0
