"""Where things lie in a dataset folder, and its manifest."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from phi3v_data.schema.errors import DatasetError
from phi3v_data.schema.layout import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    SplitRow,
    encode_manifest,
    read_manifest,
    records_name,
    shard_name,
)
from phi3v_data.storage import LocalFolder


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path)


def manifest(format_version: int = FORMAT_VERSION) -> Manifest:
    row = SplitRow(
        split="train",
        file="ucf101_train.jsonl",
        sha256="0" * 64,
        records=3,
        images=24,
        discovered=5,
        written=3,
        quarantined=1,
        skipped=1,
    )
    return Manifest(
        format_version=format_version,
        source="ucf101",
        options={"fold": 1, "sampling": {"frames": 8}},
        options_digest="1" * 64,
        decoders={"av": "18"},
        splits=[row],
    )


def test_names_follow_the_layout() -> None:
    assert records_name("ucf101", "train") == "ucf101_train.jsonl"
    assert shard_name("ucf101", "train", 7) == "shards/ucf101-train-000007.tar"


def test_a_manifest_is_read_back_the_same(folder: LocalFolder) -> None:
    folder.write(MANIFEST, encode_manifest(manifest()))
    assert read_manifest(folder) == manifest()


def test_a_manifest_is_indented_for_people_and_always_the_same_bytes(folder: LocalFolder) -> None:
    folder.write(MANIFEST, encode_manifest(manifest()))
    first = folder.read(MANIFEST)
    folder.write(MANIFEST, encode_manifest(read_manifest(folder)))
    assert folder.read(MANIFEST) == first
    assert first.startswith(b'{\n  "format_version": 1,\n')
    assert first.endswith(b"}\n")


def test_fields_that_a_later_version_of_the_same_format_adds_are_no_matter(folder: LocalFolder) -> None:
    folder.write(MANIFEST, msgspec.json.encode({**msgspec.to_builtins(manifest()), "later": True}))
    assert read_manifest(folder) == manifest()


@pytest.mark.parametrize("place", ["", "missing", "file"])
def test_a_folder_without_a_manifest_is_no_dataset(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"not a dataset folder \(it holds no dataset.json\)"):
        read_manifest(LocalFolder(tmp_path / place))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"format_version": "1"}', b"\xff", b'{"source": "\xff"}'])
def test_a_damaged_manifest_is_refused(folder: LocalFolder, data: bytes) -> None:
    folder.write(MANIFEST, data)
    with pytest.raises(DatasetError, match=r"dataset\.json: damaged \(.*\); convert the data again"):
        read_manifest(folder)


def test_a_manifest_that_cannot_be_read_is_refused(folder: LocalFolder, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(DatasetError, match=r"dataset\.json: cannot be read"):
        read_manifest(folder)


def test_a_newer_format_is_refused(folder: LocalFolder) -> None:
    folder.write(MANIFEST, encode_manifest(manifest(FORMAT_VERSION + 1)))
    with pytest.raises(DatasetError, match=rf"format {FORMAT_VERSION + 1}, but only {FORMAT_VERSION} is known"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/dev/zero", "a\0.jsonl", "", "x" * 2000])
@pytest.mark.parametrize("field", ["file", "shards"])
def test_a_manifest_that_names_a_file_outside_of_its_folder_is_refused(tmp_path: Path, field: str, name: str) -> None:
    made = json.loads(encode_manifest(manifest()))
    made["splits"][0][field] = name if field == "file" else [name]
    (tmp_path / "dataset.json").write_text(json.dumps(made), "utf-8")
    with pytest.raises(DatasetError, match=r"dataset\.json: (.*leads out of the folder|damaged)") as raised:
        read_manifest(LocalFolder(tmp_path))
    assert len(str(raised.value)) < 1000


def test_a_manifest_without_end_is_refused_before_it_is_held(tmp_path: Path) -> None:
    with (tmp_path / "dataset.json").open("wb") as stream:
        stream.truncate(1 << 40)  # a sparse file
    with pytest.raises(DatasetError, match="larger than 64 MiB"):
        read_manifest(LocalFolder(tmp_path))
