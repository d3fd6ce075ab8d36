from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from PIL import Image
from s3_server import S3Server, credentials

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import RunError
from phi3v_data.schema.index import Counting, RecordCosts, RecordIndex, costs, record_costs
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder, open_folder
from phi3v_data.storage.outage import RetryPolicy
from phi3v_data.trainer.phi3v.tiny import tiny_processor

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

COUNTING = Counting.of(tiny_processor())
RECORDS = [
    Record(id=f"r{number}", conversations=[Turn(images=["a.png"] * (number % 3), user="?", assistant="!" * number)])
    for number in range(20)
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records with their image, on this machine."""
    root = tmp_path_factory.mktemp("here")
    (root / "images").mkdir()
    Image.new("RGB", (300, 100)).save(root / "images" / "a.png")
    write_records(LocalFolder(root), "x_train.jsonl", RECORDS)
    return root


@pytest.fixture(scope="module")
def store(here: Path) -> Iterator[S3Server]:
    """A store with the records as files and as shards."""
    server = S3Server()
    with credentials(server.url) as patch:
        # Trying again is botocore's, too; here it would only take time.
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        fsspec.filesystem("s3").mkdir("costs")
        folder, image = open_folder("s3://costs/data"), (here / "images" / "a.png").read_bytes()
        write_records(folder, "x_train.jsonl", RECORDS)
        folder.write("images/a.png", image)
        with ShardWriter(folder, "x", "train", size=20_000, columns=["0.png", "1.png"]) as writer:
            for record in RECORDS:
                writer.add(Sample(encode_record(record), [image] * sum(1 for _ in record.images())))
        yield server
        server.stop()
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def measured(address: str, workers: int = 1) -> RecordCosts:
    return record_costs(RecordIndex(open_dataset(address), "train"), COUNTING, workers)


def test_on_a_store_everything_costs_what_it_costs_here(
    store: S3Server, here: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = measured(str(here)).table.to_pylist()
    assert len(local) == 20
    # The workers make their own connections.
    monkeypatch.setattr(costs, "_CHUNK", 3)
    assert measured("s3://costs/data", workers=2).table.to_pylist() == local
    shards = "s3://costs/data/shards/x-train-*.tar"
    assert measured(shards).table.to_pylist() == local
    index = RecordIndex(open_dataset(shards), "train")
    assert len(index.shards) > 1
    assert index[19] == RECORDS[19]
    assert index.open_image(2, RECORDS[2], 1).read() == (here / "images" / "a.png").read_bytes()
    assert len(list(cache.rglob("*.arrow"))) == 6


def test_a_store_that_goes_away_is_no_fault_of_the_records_and_is_not_remembered(store: S3Server, cache: Path) -> None:
    index = RecordIndex(open_dataset("s3://costs/data"), "train")
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            store.start()

    store.stop()
    with pytest.raises(RunError, match=r"x_train\.jsonl: not reachable in 2 attempts"):
        record_costs(index, COUNTING, 1, retry_policy=RetryPolicy(2, wait))
    assert record_costs(index, COUNTING, 1, retry_policy=RetryPolicy(5, wait)).faults == {}
    assert pauses == [1.0, 1.0, 2.0]
