from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from validated import validated

from phi3v_data.schema import jsonl
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import DatasetError
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shard_index import index_name
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder


def record(identity: str) -> Record:
    return Record(id=identity, conversations=[Turn(images=[f"{identity}.jpg"], user="?", assistant="!")])


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Five records of `train` in tars of one each, and two of `val` in one."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "JPEG")
    for split, count, size in (("train", 5, 1), ("val", 2, 10**9)):
        with ShardWriter(LocalFolder(tmp_path), "some-source", split, size=size, columns=["0.jpg"]) as writer:
            for number in range(count):
                writer.add(Sample(encode_record(record(f"{split}-{number}")), [buffer.getvalue()]))
    return tmp_path / "shards"


def test_a_bare_folder_has_a_split_for_each_file(tmp_path: Path) -> None:
    names = ["nlvr2_dev.jsonl", "nlvr2_extra.jsonl", "nlvr2_validation.jsonl"]
    for name in names:
        (tmp_path / name).touch()
    assert open_dataset(str(tmp_path)).files == dict(zip(["dev", "extra", "val"], names, strict=True))


def test_two_files_of_one_split_are_refused_for_one_would_hide_the_other(tmp_path: Path) -> None:
    for name in ("a_val.jsonl", "b_validation.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"a_val\.jsonl and b_validation\.jsonl are both of the split val"):
        open_dataset(str(tmp_path))


def test_a_pattern_names_the_shards_of_a_split(shards: Path) -> None:
    dataset = open_dataset(f"{shards}/some-source-train-*.tar")
    assert dataset.splits == ["train"]
    assert len(dataset.shards["train"]) == 5
    assert list(dataset.records("train")) == [record(f"train-{number}") for number in range(5)]


def test_a_pattern_over_several_splits_keeps_them_apart(shards: Path) -> None:
    dataset = open_dataset(f"{shards}/*.tar")
    assert {split: len(names) for split, names in dataset.shards.items()} == {"train": 5, "val": 1}
    assert [each.id for each in dataset.records("val")] == ["val-0", "val-1"]
    image = dataset.images.open(record("val-1"), 0)
    assert Image.open(image).size == (40, 30)


def test_one_shard_is_a_pattern_too_and_names_are_taken_as_they_are(shards: Path) -> None:
    for name in (old := "some-source-val-000000.tar", index_name(old)):
        (shards / name).rename(shards / name.replace(old, "[odd].tar"))
    dataset = open_dataset(f"{shards}/[odd].tar")
    assert [each.id for each in dataset.records(dataset.splits[0])] == ["val-0", "val-1"]


def test_the_digest_of_shards_changes_with_their_records(shards: Path) -> None:
    before = open_dataset(f"{shards}/*.tar").digest()
    assert open_dataset(f"{shards}/*.tar").digest() == before
    index = shards / index_name("some-source-train-000003.tar")
    index.write_bytes(index.read_bytes().replace(b"train-3", b"train-X"))
    assert open_dataset(f"{shards}/*.tar").digest() != before


def test_shards_are_validated_like_a_folder(shards: Path) -> None:
    findings, summary = validated(open_dataset(f"{shards}/*.tar"), select=["R", "F", "D"])
    assert (findings, list(summary.records.values())) == ([], [{"train": 5, "val": 2}])
    tar = shards / "some-source-val-000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b"val-1.jpg", b"val-\x00.jpg").replace(b'"id":"val-1"', b'"id":"val-0"'))
    findings, _ = validated(open_dataset(f"{shards}/*.tar"), select=["R103"])
    assert [(finding.rule, finding.file, finding.line) for finding in findings] == [("R103", tar.name, 2)]


def test_a_pattern_that_nothing_matches_is_refused(shards: Path) -> None:
    with pytest.raises(DatasetError, match="no such shards; write them with: phi3v-data convert --shards"):
        open_dataset(f"{shards}/other-*.tar")
    with pytest.raises(DatasetError, match="no such shards"):
        open_dataset(f"{shards}/missing/*.tar")


def test_a_shard_without_its_index_is_refused_by_name(shards: Path) -> None:
    (shards / index_name("some-source-train-000002.tar")).unlink()
    with pytest.raises(DatasetError, match=r"some-source-train-000002\.tar: cannot be read with its index"):
        list(open_dataset(f"{shards}/*-train-*.tar").records("train"))


def test_indexes_beside_the_tars_as_earlier_versions_wrote_them_are_read(shards: Path) -> None:
    before = open_dataset(f"{shards}/*.tar")
    digest, records = before.digest(), list(before.records("train"))
    for index in (shards / ".offsets").iterdir():
        index.rename(shards / index.name)
    (shards / ".offsets").rmdir()
    earlier = open_dataset(f"{shards}/*.tar")
    assert list(earlier.records("train")) == records
    assert earlier.digest() == digest
    assert Image.open(earlier.images.open(record("val-1"), 0)).size == (40, 30)


@pytest.mark.parametrize("number", [-1, 1 << 52, 1 << 70, 10**40])
def test_an_index_with_a_number_that_is_no_place_is_one_error(shards: Path, number: int) -> None:
    index = shards / index_name("some-source-val-000000.tar")
    entry = json.loads(index.read_bytes().splitlines()[0])
    entry["record"][1] = number
    index.write_text(json.dumps(entry), "utf-8")
    dataset = open_dataset(f"{shards}/*-val-*.tar")
    for read in (lambda: list(dataset.records("val")), lambda: dataset.images):
        with pytest.raises(DatasetError, match=r"its index is damaged|ends before its index says"):
            read()


@pytest.mark.slow
def test_load_dataset_reads_a_folder_whose_images_are_in_shards_alone(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(shards.parent / "cache"))
    (shards.parent / "dataset.json").write_text("{}", "utf-8")
    loaded = datasets.load_dataset(str(shards.parent), cache_dir=str(shards.parent.parent / "cache"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 5, "validation": 2}


def test_a_json_array_as_data_says_how_to_convert_it(tmp_path: Path) -> None:
    for name in ("mix.json", "mix.jsonl"):
        (tmp_path / name).write_text('[{"id": "1", "conversations": []}]', "utf-8")
        with pytest.raises(DatasetError, match=rf"phi3v-data convert --source chat --input .*/{name}"):
            list(open_dataset(f"{tmp_path}/{name}").records("mix"))


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_for_a_dataset_folder_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot be read|no such dataset folder"):
        open_dataset(f"{tmp_path}/{name}")


def test_a_line_without_end_is_refused_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 1000)
    (tmp_path / "a_train.jsonl").write_bytes(encode_record(record("1")) + b"\n" + b"x" * 1000)
    with pytest.raises(DatasetError, match=r"a_train\.jsonl, line 2: longer than"):
        list(open_dataset(f"{tmp_path}").records("train"))
