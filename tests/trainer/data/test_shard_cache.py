from __future__ import annotations

import io
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from PIL import Image
from s3_server import S3Server, credentials

from phi3v_data.schema.errors import RunError, UsageError
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import Folder, LocalFolder, open_folder
from phi3v_data.storage.outage import RetryPolicy
from phi3v_data.trainer.data.shard_cache import ShardCache

SHARD = "shards/src-train-000000.tar"
OTHER = "shards/src-train-000001.tar"


class Counted(LocalFolder):
    """Notes in a file, which outlives processes, each time that a shard is opened."""

    def open(self, name: str) -> io.BufferedReader:
        if name.endswith(".tar"):
            with (self.path / "opened").open("a") as stream:
                stream.write(f"{name}\n")
        return super().open(name)  # type: ignore[return-value]  # a local file


def write_shards(folder: Folder, shards: int, samples: int = 2) -> list[str]:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    with ShardWriter(folder, "src", "train", size=1, columns=["0.png"]) as writer:
        for number in range(shards):
            turn = Turn(images=[f"{number}.png"], user="?", assistant="!")
            writer.add(Sample(encode_record(Record(id=f"r-{number}", conversations=[turn])), [buffer.getvalue()]))
    return writer.names


@pytest.fixture
def source(tmp_path: Path) -> Counted:
    folder = Counted(tmp_path / "data")
    write_shards(folder, 4)
    return folder


def opened(source: Counted) -> list[str]:
    path = source.path / "opened"
    return path.read_text().splitlines() if path.exists() else []


def impatient(attempts: int = 3) -> tuple[RetryPolicy, list[float]]:
    pauses: list[float] = []
    return RetryPolicy(attempts, pauses.append), pauses


def test_a_shard_is_fetched_once_and_its_copy_is_the_same_bytes(source: Counted, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 10**6)
    for _ in range(3):
        with cache.open(source, SHARD, "v") as stream:
            assert stream.read() == source.read(SHARD)
    assert opened(source).count(SHARD) == 1 + 3  # three of them are the comparisons


def test_a_shard_that_changed_is_another_shard(source: Counted, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 10**6)
    cache.fetch(source, SHARD, "one")
    cache.fetch(source, SHARD, "two")
    assert opened(source) == [SHARD] * 2


def _fetch(root: Path, cache: Path, barrier: multiprocessing.synchronize.Barrier) -> None:
    barrier.wait()
    ShardCache(cache, 10**6).fetch(Counted(root), SHARD, "v")


def test_two_processes_share_one_fetch(source: Counted, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_fetch, args=(source.path, tmp_path / "cache", barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert opened(source) == [SHARD]


def test_the_bound_holds_and_what_was_read_longest_ago_goes_first(source: Counted, tmp_path: Path) -> None:
    names = [f"shards/src-train-00000{number}.tar" for number in range(4)]
    size = source.size(names[0])
    root = tmp_path / "cache"
    cache = ShardCache(root, 2 * size + 1)
    for number, name in enumerate([names[0], names[1], names[0], names[2], names[0], names[3]]):
        with cache.open(source, name, "v"):
            held = sum(path.stat().st_size for path in root.iterdir())
            assert held <= cache.limit
            assert len(list(root.glob("*.tar"))) == min(number + 1, 2)
    assert opened(source) == names


def test_what_was_released_goes_before_what_was_only_fetched(source: Counted, tmp_path: Path) -> None:
    names = [f"shards/src-train-00000{number}.tar" for number in range(3)]
    cache = ShardCache(tmp_path / "cache", 2 * source.size(names[0]) + 1)
    cache.fetch(source, names[0], "v")
    cache.fetch(source, names[1], "v")
    cache.open(source, names[1], "v").close()
    cache.release(source, names[1], "v")
    cache.fetch(source, names[2], "v")
    cache.fetch(source, names[0], "v")
    assert opened(source) == names


def test_a_shard_larger_than_the_bound_is_refused(source: Counted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a shard of [\d,]+ bytes, and 10 for copies .* --set data\.cache_gb"):
        ShardCache(tmp_path / "cache", 10).fetch(source, SHARD, "v")


@pytest.mark.parametrize("damage", ["cut", "shifted", "other"])
def test_a_damaged_shard_is_fetched_again_and_then_named(source: Counted, tmp_path: Path, damage: str) -> None:
    data = source.read(SHARD)
    changed = {"cut": data[:1024], "shifted": data[:100] + b"x" + data[100:], "other": bytes(len(data))}[damage]
    (source.path / SHARD).write_bytes(changed)
    (source.path / "opened").unlink()
    cache = ShardCache(tmp_path / "cache", 10**6)
    with pytest.raises(RunError, match=r"damaged, also when fetched again .* write the shards again"):
        cache.open(source, SHARD, "v")
    assert opened(source) == [SHARD] * 2
    assert not list((tmp_path / "cache").glob("*.tar"))
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_copy_that_came_damaged_once_is_replaced(source: Counted, tmp_path: Path) -> None:
    class OnceDamaged(LocalFolder):
        fetched = 0

        def open(self, name: str) -> io.BytesIO:
            self.fetched += 1
            data = super().open(name).read()
            return io.BytesIO(bytes(len(data)) if self.fetched == 1 else data)

    # The index is read through `open`, too; it is left alone.
    folder = OnceDamaged(source.path)
    folder.read = lambda name: (source.path / name).read_bytes()  # type: ignore[method-assign]
    with ShardCache(tmp_path / "cache", 10**6).open(folder, SHARD, "v") as stream:
        assert stream.read() == source.read(SHARD)
    assert folder.fetched == 2


def test_what_a_killed_process_left_half_done_counts_and_makes_room(source: Counted, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    size = source.size(SHARD)
    root.mkdir()
    (root / "dead.partial").write_bytes(bytes(size))
    cache = ShardCache(root, size + 1)
    cache.fetch(source, SHARD, "v")
    assert not (root / "dead.partial").exists()


def test_what_another_process_is_fetching_is_waited_for(source: Counted, tmp_path: Path) -> None:
    import fcntl

    root = tmp_path / "cache"
    size = source.size(SHARD)
    root.mkdir()
    (root / "alive.partial").write_bytes(bytes(size))
    lock = (root / "alive.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    pauses: list[float] = []

    def finish(pause: float) -> None:
        pauses.append(pause)
        (root / "alive.partial").rename(root / "alive.tar")
        lock.close()

    ShardCache(root, size + 1, RetryPolicy(3, finish)).fetch(source, SHARD, "v")
    assert pauses == [1.0]


def test_a_missing_shard_is_not_waited_for(source: Counted, tmp_path: Path) -> None:
    retry_policy, pauses = impatient()
    with pytest.raises(FileNotFoundError):
        ShardCache(tmp_path / "cache", 10**6, retry_policy).fetch(source, "shards/none.tar", "v")
    assert pauses == []


# With a real store.


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    server = S3Server()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with credentials(server.url) as patch:
        # The client's own tries, and the seconds between them, are not what is tested.
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield server
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_while_the_store_is_away_pauses_grow_and_then_the_copy_is_made(server: S3Server, tmp_path: Path) -> None:
    folder = open_folder("s3://bucket/comes-back")
    write_shards(folder, 1)
    version = folder.fingerprint(SHARD)
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            server.start()

    server.stop()
    with ShardCache(tmp_path, 10**6, RetryPolicy(5, wait)).open(folder, SHARD, version) as stream:
        copied = stream.read()
    assert pauses == [1.0, 2.0, 4.0]
    assert copied == folder.read(SHARD)


def test_a_store_that_stays_away_is_one_clear_error(server: S3Server, tmp_path: Path) -> None:
    folder = open_folder("s3://bucket/stays-away")
    write_shards(folder, 1)
    version = folder.fingerprint(SHARD)
    retry_policy, pauses = impatient(attempts=3)
    server.stop()
    try:
        with pytest.raises(RunError, match=rf"stays-away/{SHARD}: not reachable in 3 attempts over 3 s"):
            ShardCache(tmp_path, 10**6, retry_policy).fetch(folder, SHARD, version)
    finally:
        server.start()
    assert pauses == [1.0, 2.0]
