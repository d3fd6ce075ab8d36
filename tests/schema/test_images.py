"""Images in shards alone are as good as images in files."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from validated import validated

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.layout import FORMAT_VERSION, MANIFEST, Manifest, SplitRow, encode_manifest
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shard_index import index_name
from phi3v_data.schema.shards import Sample, ShardWriter, sample_columns
from phi3v_data.storage import LocalFolder


def image(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def sharded(tmp_path: Path) -> Dataset:
    """Two records, with one image and with two, in shards of one record each."""
    folder = LocalFolder(tmp_path)
    records = [
        Record(
            id=f"r.{count}",
            conversations=[Turn(images=[f"{count}.{n}.png" for n in range(count)], user="", assistant="")],
        )
        for count in (1, 2)
    ]
    columns = {column for record in records for column in sample_columns(record)}
    with ShardWriter(folder, "made", "train", size=1, columns=sorted(columns)) as writer:
        for record in records:
            images = [image(10 * len(list(record.images())) + n) for n, _ in enumerate(record.images())]
            writer.add(Sample(encode_record(record), images))
    written = write_records(folder, "made_train.jsonl", records)
    row = SplitRow(
        split="train",
        file="made_train.jsonl",
        sha256=written.sha256,
        records=2,
        images=3,
        discovered=2,
        written=2,
        quarantined=0,
        skipped=0,
        shards=writer.names,
    )
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source="made",
        options={"image_files": False},
        options_digest="",
        plan_digest="",
        decoders={},
        splits=[row],
    )
    folder.write(MANIFEST, encode_manifest(manifest))
    return open_dataset(str(tmp_path))


def test_each_image_is_found_by_its_record_and_place(sharded: Dataset) -> None:
    shades = [
        Image.open(sharded.images.open(record, number)).getpixel((0, 0))
        for record in sharded.records("train")
        for number, _ in enumerate(record.images())
    ]
    assert shades == [(10, 0, 0), (20, 0, 0), (21, 0, 0)]


def test_a_dataset_whose_images_are_in_shards_alone_is_clean(sharded: Dataset) -> None:
    assert validated(sharded, select=["R", "F", "D"])[0] == []


def test_a_image_that_the_shards_do_not_hold_is_found(sharded: Dataset) -> None:
    shard = sharded.manifest.splits[0].shards[1]  # type: ignore[union-attr]  # it has a manifest
    entry = msgspec.json.decode(sharded.folder.read(index_name(shard)))
    entry["images"].pop()
    sharded.folder.write(index_name(shard), msgspec.json.encode(entry))
    (found, *_), _ = validated(sharded, select=["F", "P"])
    assert (found.rule, found.id, found.file) == ("F206", "r.2", shard)


def test_a_image_damaged_inside_its_tar_is_found(sharded: Dataset) -> None:
    shard = sharded.manifest.splits[0].shards[0]  # type: ignore[union-attr]  # it has a manifest
    data = bytearray(sharded.folder.read(shard))
    start = data.index(b"\x89PNG")
    data[start : start + 8] = bytes(8)
    sharded.folder.write(shard, bytes(data))
    (found, *_), _ = validated(sharded, select=["F", "P"])
    assert (found.rule, found.id, found.file) == ("F208", "r.1", shard)


def test_a_tar_that_is_gone_is_found(sharded: Dataset) -> None:
    sharded.folder.delete(sharded.manifest.splits[0].shards[0])  # type: ignore[union-attr]  # it has a manifest
    codes = {finding.rule for finding in validated(sharded, select=["D"])[0]}
    assert "D708" in codes
