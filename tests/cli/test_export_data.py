"""`phi3v-data export-data`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from phi3v_data.cli.main import load_command, run_command
from phi3v_data.converters.chat.export import FORMATS
from phi3v_data.schema.errors import DatasetError, OutputError


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(load_command("export-data"), [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three images in two splits, which keeps them in shards alone."""
    root = tmp_path_factory.mktemp("dataset")
    for number, name in enumerate(("train/cat/a.png", "train/dog/b.jpg", "val/dog/c.jpg")):
        (root / "raw" / name).parent.mkdir(parents=True)
        Image.new("RGB", (8, 6), (90 * number, 0, 0)).save(root / "raw" / name)
    line = ["convert", "--source", "image-folder", "--split-by", "folder", "--workers", "1", "--shards", "--no-images"]
    assert run_command([*line, "--input", str(root / "raw"), "--out", str(root / "data/set")]) == 0
    return root / "data/set"


def test_what_is_exported_from_shards_converts_back_to_the_same_lines(dataset: Path, tmp_path: Path) -> None:
    result = export(dataset, "--format", "trl", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        f"{tmp_path}/out/train.jsonl: 2 records, 2 images copied",
        f"{tmp_path}/out/val.jsonl: 1 record, 1 image copied",
    ]
    line = ["convert", "--source", "chat", "--input", str(tmp_path / "out"), "--workers", "1"]
    assert run_command([*line, "--out", str(tmp_path / "back")]) == 0
    for split in ("train", "val"):
        lines = (dataset / f"image-folder_{split}.jsonl").read_bytes()
        assert (tmp_path / f"back/chat_{split}.jsonl").read_bytes() == lines
    for name in ("train/cat/a.png", "train/dog/b.jpg", "val/dog/c.jpg"):
        stem, _, suffix = name.partition(".")
        raw = dataset.parents[1] / "raw" / name
        assert (tmp_path / "back/images" / f"{stem}.0.{suffix}").read_bytes() == raw.read_bytes()


def test_one_split_alone_may_be_exported(dataset: Path, tmp_path: Path) -> None:
    shards = dataset / "shards/image-folder-val-000000.tar"
    result = export(shards, "--format", "llava", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "val.json"]


def test_left_out_data_is_the_one_dataset_there_is(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dataset.parents[1])
    assert export("--format", "openai", "--out", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/val.jsonl").exists()


def test_the_formats_are_those_that_can_be_written() -> None:
    (option,) = (param for param in load_command("export-data").params if param.name == "form")
    assert list(option.type.choices) == list(FORMATS)  # type: ignore[attr-defined]  # it is a choice


@pytest.mark.parametrize(
    ("out", "data", "error", "message"),
    [
        ("full", "set", OutputError, "full: not empty; name another folder, or remove it"),
        ("out", "nowhere", DatasetError, "nowhere: no such dataset folder"),
    ],
)
def test_what_cannot_be_written_or_read_is_refused(
    dataset: Path, tmp_path: Path, out: str, data: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "full/notes").mkdir(parents=True)
    result = export(dataset.parent / data, "--format", "llava", "--out", tmp_path / out)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert result.exit_code == 1


def test_an_output_that_is_a_file_or_cannot_be_written_is_one_line(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for out in (tmp_path / "file", tmp_path / "file/inside"):
        result = export(dataset, "--format", "llava", "--out", out)
        assert isinstance(result.exception, OutputError)
        assert f"{out}: " in str(result.exception)
        assert "\n" not in str(result.exception)
    assert (tmp_path / "file").read_text() == "precious"
