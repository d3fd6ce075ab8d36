from __future__ import annotations

from pathlib import Path

import pytest
from conversions import Bench

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.jsonl import read_records
from phi3v_data.schema.shards import Shard
from phi3v_data.storage import LocalFolder


def _write(bench: Bench) -> None:
    for number in range(14):
        bench.write_item(f"train/{number:04d}", "damaged" if number == 3 else "", images=number % 4)
    for number in range(3):
        bench.write_item(f"val/{number:04d}", images=6)


def _sharded(bench: Bench, out: str) -> list[tuple[str, list[bytes]]]:
    """Every record's id and images, in the manifest's order of shards."""
    folder = LocalFolder(bench.root / out)
    found = []
    for split in ("train", "val"):
        for name in sorted(
            n for n in bench.files(out) if n.startswith(f"shards/patches-{split}") and n.endswith(".tar")
        ):
            with Shard(folder, name) as shard:
                found += [(e.id, list(s.images)) for e, s in zip(shard.entries, shard, strict=True)]
    return found


def test_shards_hold_what_the_jsonl_and_the_images_hold(bench: Bench) -> None:
    _write(bench)
    summary = bench.convert(shard_size=20_000)
    out = bench.root / "out"
    expected = [
        (record.id, [(out / "images" / name).read_bytes() for name in record.images()])
        for split in ("train", "val")
        for record in read_records(LocalFolder(out), f"patches_{split}.jsonl")
    ]
    assert _sharded(bench, "out") == expected
    assert [len(row.shards) > 1 for row in summary.manifest.splits] == [True, True]
    listed = {name for row in summary.manifest.splits for name in row.shards}
    assert listed == {name for name in bench.files() if name.endswith(".tar")}


def test_without_images_the_shards_are_the_same_and_nothing_else_holds_images(bench: Bench) -> None:
    _write(bench)
    bench.convert("both", shard_size=20_000)
    bench.convert("alone", shard_size=20_000, image_files=False, workers=1)
    both, alone = bench.files("both"), bench.files("alone")
    assert not any(name.startswith(("images/", ".convert")) for name in alone)
    del both["dataset.json"], alone["dataset.json"]
    assert {name: data for name, data in both.items() if not name.startswith("images/")} == alone


def test_a_retry_packs_again_what_lies_in_shards_alone(bench: Bench) -> None:
    _write(bench)
    bench.convert(shard_size=20_000, image_files=False)
    bench.write_item("train/0003", images=3)
    bench.convert(shard_size=20_000, image_files=False, retry_quarantined=True)
    bench.convert("whole", shard_size=20_000, image_files=False)
    assert bench.files() == bench.files("whole")


def test_a_dataset_that_would_keep_no_images_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="give --shards too"):
        bench.request(image_files=False)


@pytest.mark.slow
def test_datasets_loads_shards_whose_records_differ_in_their_numbers_of_images(bench: Bench, tmp_path: Path) -> None:
    from datasets import load_dataset

    _write(bench)
    bench.convert(shard_size=20_000, image_files=False)
    files = {split: f"{bench.root}/out/shards/patches-{split}-*.tar" for split in ("train", "val")}
    loaded = load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path / "cache"))
    expected = dict(_sharded(bench, "out"))
    rows = [row for split in files for row in loaded[split]]
    assert [row["json"]["id"] for row in rows] == list(expected)
    for row in rows:
        shown = row["json"]["conversations"][0]["images"]
        assert len(shown) == len(expected[row["json"]["id"]])
        assert all(row[f"{k}.jpg"].size == (8, 8) for k in range(len(shown)))
