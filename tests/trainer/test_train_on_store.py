"""A run on shards that lie on an S3 server, which goes away in the middle of an epoch and comes back."""

from __future__ import annotations

import io
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from colours import COLOURS, turn, write_dataset
from PIL import Image
from s3_server import S3Server, credentials
from tiny_runs import tiny_config, traced

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.record import Record, encode_record
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import Folder, open_folder
from phi3v_data.storage.outage import RetryPolicy
from phi3v_data.trainer.data import sources, step_batches
from phi3v_data.trainer.data.plan import Plan, Stream
from phi3v_data.trainer.data.shard_cache import ShardCache
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.train import train

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")
pytestmark = pytest.mark.slow

RECORDS = 12
SETTINGS = {
    "batch_size": 2,
    "epochs": 2,
    "evaluation.enabled": False,
    "data.trace": True,
    "data.shards_per_block": 2,
}


@pytest.fixture
def server() -> Iterator[S3Server]:
    server = S3Server()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with credentials(server.url) as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        fsspec.filesystem("s3").makedirs("bucket", exist_ok=True)
        yield server
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def write_shards(folder: Folder) -> list[int]:
    """Write two or three records a shard; returns how many records each has."""
    sizes = []
    for shard, (first, end) in enumerate([(0, 2), (2, 5), (5, 7), (7, 10), (10, RECORDS)]):
        with ShardWriter(folder, f"c{shard}", "train", size=10**9, columns=["0.png"]) as writer:
            for number in range(first, end):
                buffer = io.BytesIO()
                Image.new("RGB", (96, 72), COLOURS[_colour(number)]).save(buffer, "PNG")
                writer.add(Sample(encode_record(_record(number, f"{number}.png")), [buffer.getvalue()]))
        sizes.append(end - first)
    return sizes


def write_files(root: Path, address: str) -> None:
    write_dataset(root, {"train": [_record(number, f"{_colour(number)}-{number}.png") for number in range(RECORDS)]})
    fsspec.filesystem("s3").put(str(root), address, recursive=True)


def _colour(number: int) -> str:
    return list(COLOURS)[number % len(COLOURS)]


def _record(number: int, image: str) -> Record:
    return Record(id=f"r-{number}", conversations=[turn(_colour(number), images=[image])])


@pytest.mark.parametrize(("form", "workers"), [("shards", 0), ("shards", 2), ("files", 0)])
def test_while_the_store_is_away_a_run_waits_and_nothing_is_lost_or_doubled(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, workers: int
) -> None:
    if form == "shards":
        sizes = write_shards(open_folder("s3://bucket/shards"))
        data = open_dataset("s3://bucket/shards/shards/*-train-*.tar")
        ((_, names),) = data.shards.items()
    else:
        sizes, names = [], ["colours_train.jsonl"]
        write_files(tmp_path / "files", "bucket/files")
        data = open_dataset("s3://bucket/files")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "indexes"))
    missed, back = multiprocessing.Event(), multiprocessing.Event()

    def wait(seconds: float) -> None:
        missed.set()
        back.wait(60)

    def come_back() -> None:
        missed.wait(60)
        server.start()
        back.set()

    # All but one of the shards fit, so each pass fetches again while the store is away.
    limit = 4 * max(data.folder.size(name) for name in names)
    cache = ShardCache(tmp_path / "shards", limit, RetryPolicy(6, wait))
    for module in (sources, step_batches):
        monkeypatch.setattr(module, "shard_cache", lambda config: cache)

    def log(line: str) -> None:
        if line.startswith("step 1/"):
            server.stop()
            threading.Thread(target=come_back).start()

    train(tiny_config({**SETTINGS, "data.workers": workers}), [Source(data)], tmp_path / "run", log)
    assert missed.is_set()
    plan = Plan([Stream(RECORDS, sizes, shards_per_block=2)], 2, seed=0)
    expected = {step: [f"r-{ref.record}" for ref in plan.step(step)] for step in range(RECORDS)}
    assert traced(tmp_path / "run") == expected
