from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phi3v_data.schema.errors import DatasetError
from phi3v_data.schema.record import Record, Turn, decode_record, encode_record
from phi3v_data.schema.shard_index import index_name
from phi3v_data.schema.shards import Sample, Shard, ShardWriter, sample_columns, sample_key
from phi3v_data.storage import LocalFolder


def image(size: int, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size)).save(buffer, kind)
    return buffer.getvalue()


def sample(identity: str, images: int, suffix: str = "jpg") -> Sample:
    turn = Turn(images=[f"{identity}.{k}.{suffix}" for k in range(images)], user="?", assistant="!")
    data = [image(4 + k, "PNG" if suffix == "png" else "JPEG") for k in range(images)]
    return Sample(encode_record(Record(id=identity, conversations=[turn])), data)


def write(root: Path, samples: list[Sample], size: int = 10**9) -> list[str]:
    columns = {column for s in samples for column in sample_columns(decode_record(s.record))}
    with ShardWriter(LocalFolder(root), "src", "train", size=size, columns=sorted(columns)) as writer:
        for each in samples:
            writer.add(each)
    return writer.names


def by_webdataset(root: Path, names: list[str]) -> list[dict[str, Any]]:
    return list(webdataset.WebDataset([str(root / name) for name in names], shardshuffle=False).decode("pil"))


def test_every_sample_comes_back_from_its_place(tmp_path: Path) -> None:
    samples = [sample(f"id-{n}", n % 4) for n in range(9)]
    (name,) = write(tmp_path, samples)
    with Shard(LocalFolder(tmp_path), name) as shard:
        assert list(shard) == samples
        assert [entry.id for entry in shard.entries] == [f"id-{n}" for n in range(9)]
        assert shard.record(7).id == "id-7"
        assert shard.image(7, 2) == samples[7].images[2]


def test_a_shard_holds_no_times_owners_or_order_of_its_own(tmp_path: Path) -> None:
    samples = [sample(f"id-{n}", 12) for n in range(7)]
    write(tmp_path / "a", samples)
    write(tmp_path / "b", samples)
    name = "shards/src-train-000000.tar"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with tarfile.open(tmp_path / "a" / name) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.isreg()) for m in members} == {
        (0, 0, 0, "", "", 0o644, True)
    }
    assert [m.name for m in members] == sorted(m.name for m in members)


def test_shards_keep_to_their_size_unless_one_sample_alone_exceeds_it(tmp_path: Path) -> None:
    samples = [sample(f"id-{n}", 3) for n in range(20)]
    samples[4] = Sample(samples[4].record, [bytes(50_000)] * 3)
    names = write(tmp_path, samples, size=20_000)
    sizes = [(tmp_path / name).stat().st_size for name in names]
    assert len(names) > 3
    assert [size > 20_000 for size in sizes].count(True) == 1
    found = []
    for name in names:
        with Shard(LocalFolder(tmp_path), name) as shard:
            found += list(shard)
            assert (tmp_path / name).stat().st_size <= 20_000 or len(shard) == 1
    assert found == samples


@pytest.mark.parametrize(
    "identity", ["v.2/clip.0.final", "ü 日本", "100%.jpg", "a\nb", ".hidden", "x" * 300, "..", "~$#?"]
)
def test_webdataset_takes_any_id_for_one_sample(tmp_path: Path, identity: str) -> None:
    names = write(tmp_path, [sample("before", 1), sample(identity, 2), sample("z", 1)])
    found = by_webdataset(tmp_path, names)
    assert [s["json"]["id"] for s in found] == ["before", identity, "z"]
    assert found[1]["1.jpg"].size == (5, 5)


@given(st.text(min_size=1), st.text(min_size=1))
def test_keys_tell_ids_apart_and_end_where_the_column_begins(first: str, second: str) -> None:
    if any("\ud800" <= c <= "\udfff" for c in first + second):
        return
    assert (sample_key(first) == sample_key(second)) == (first == second)
    assert not set(sample_key(first)) & set("./\\\n\0")


def test_later_samples_hold_their_own_images_only_and_the_first_hold_every_column(tmp_path: Path) -> None:
    names = write(tmp_path, [sample(f"id-{n}", n) for n in range(8)] + [sample("p", 2, "png")])
    found = by_webdataset(tmp_path, names)
    columns = [{key for key in s if key.endswith(("jpg", "png"))} for s in found]
    every = {*(f"{k}.jpg" for k in range(7)), "0.png", "1.png"}
    assert columns[:5] == [every] * 5
    assert columns[5:] == [*({f"{k}.jpg" for k in range(n)} for n in (5, 6, 7)), {"0.png", "1.png"}]
    assert found[1]["6.jpg"].size == found[1]["1.png"].size == (1, 1)


def test_a_writer_that_fails_leaves_no_shard_under_its_name(tmp_path: Path) -> None:
    short = sample("b", 2)._replace(images=[])
    with pytest.raises(ValueError, match="shorter"):
        write(tmp_path, [sample("a", 0), short])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_shard_without_its_index_or_cut_short_is_no_dataset(tmp_path: Path) -> None:
    (name,) = write(tmp_path, [sample("a", 1), sample("b", 1)])
    tar, index = tmp_path / name, tmp_path / index_name(name)
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(DatasetError, match="ends before its index says"):
        Shard(LocalFolder(tmp_path), name)
    index.write_bytes(b'{"id": "a"}\n')
    with pytest.raises(DatasetError, match="index is damaged"):
        Shard(LocalFolder(tmp_path), name)
    index.unlink()
    with pytest.raises(DatasetError, match="cannot be read with its index"):
        Shard(LocalFolder(tmp_path), name)


def test_an_index_that_points_before_the_tars_first_byte_is_damaged(tmp_path: Path) -> None:
    (name,) = write(tmp_path, [sample("id", 1)])
    index = tmp_path / index_name(name)
    entry = json.loads(index.read_bytes())
    for broken in ({"record": [-1, 5]}, {"record": [0, -1]}, {"images": [[0, -1]]}):
        index.write_text(json.dumps({**entry, **broken}))
        with pytest.raises(DatasetError, match="its index is damaged"):
            Shard(LocalFolder(tmp_path), name)
