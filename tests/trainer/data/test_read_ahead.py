from __future__ import annotations

import fcntl
import itertools
import threading
from pathlib import Path
from typing import IO

import pytest

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.data.plan import Plan, Stream
from phi3v_data.trainer.data.read_ahead import ReadAhead
from phi3v_data.trainer.data.shard_cache import ShardCache
from phi3v_data.trainer.data.steady_folder import SteadyFolder

SHARDS, PER_SHARD, PER_BLOCK, BATCH = 12, 3, 2, 4


class Noted(LocalFolder):
    """Notes which shards are read from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read_from: list[str] = []

    def open(self, name: str) -> IO[bytes]:
        if name.endswith(".tar"):
            self.read_from.append(name)
        return super().open(name)


@pytest.fixture
def source(tmp_path: Path) -> Noted:
    folder = Noted(tmp_path / "data")
    size = 0
    for number in range(SHARDS):
        with ShardWriter(folder, f"s{number:02d}", "train", size=10**9, columns=[]) as writer:
            for k in range(PER_SHARD):
                turn = Turn(user="?", assistant="!")
                writer.add(Sample(encode_record(Record(id=f"r-{number}-{k}", conversations=[turn])), []))
        size = folder.size(writer.names[0])
    assert size
    return folder


def names() -> list[str]:
    return [f"shards/s{number:02d}-train-000000.tar" for number in range(SHARDS)]


def plan() -> Plan:
    return Plan([Stream(SHARDS * PER_SHARD, [PER_SHARD] * SHARDS, shards_per_block=PER_BLOCK)], BATCH, seed=3)


def held(root: Path) -> int:
    with (root / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sum(path.stat().st_size for path in root.iterdir())


@pytest.mark.parametrize("start", [0, 4])
def test_each_shard_is_fetched_once_a_pass_and_what_is_held_stays_within_the_budget(
    source: Noted, tmp_path: Path, start: int
) -> None:
    size = source.size(names()[0])
    budget = (2 * PER_BLOCK + 1) * size
    root = tmp_path / "cache"
    folder = SteadyFolder(source, ShardCache(root, budget))
    order = plan()
    pass_ends = order.steps(1)
    needs = itertools.takewhile(lambda need: need.first < pass_ends, order.shards_from(start))
    with ReadAhead(needs, [(folder, names())], budget) as ahead:
        for step in range(start, pass_ends):
            ahead.advance(step)
            for sample in order.step(step):
                folder.open(names()[sample.record // PER_SHARD]).close()
                assert held(root) <= budget
    needed = {sample.record // PER_SHARD for step in range(start, pass_ends) for sample in order.step(step)}
    assert sorted(source.read_from) == [names()[shard] for shard in sorted(needed)]


def test_shards_are_there_before_they_are_asked_for(source: Noted, tmp_path: Path) -> None:
    size = source.size(names()[0])
    folder = SteadyFolder(source, ShardCache(tmp_path / "cache", 10**9))
    fetched = threading.Semaphore(0)
    fetch = folder.fetch

    def noting(name: str) -> None:
        fetch(name)
        fetched.release()

    folder.fetch = noting  # type: ignore[method-assign]  # it does as before, and says so
    needs = list(itertools.islice(plan().shards_from(0), SHARDS))
    with ReadAhead(iter(needs), [(folder, names())], SHARDS * size):
        for _ in range(SHARDS):
            assert fetched.acquire(timeout=60)
    assert source.read_from == [names()[need.shard] for need in needs]


def test_shards_that_do_not_fit_together_are_one_clear_error(source: Noted, tmp_path: Path) -> None:
    size = source.size(names()[0])
    folder = SteadyFolder(source, ShardCache(tmp_path / "cache", size))
    ahead = ReadAhead(plan().shards_from(0), [(folder, names())], size)
    with ahead:
        ahead._thread.join(60)
        wanted = r"the shards mixed at step 0 have [\d,]+ bytes, and [\d,]+ are for copies .* --set data\.cache_gb"
        with pytest.raises(UsageError, match=wanted):
            ahead.advance(0)


@pytest.mark.parametrize("raised", [ValueError("a bug"), KeyError("x"), SystemExit(3)])
def test_whatever_ends_the_thread_is_raised_where_the_shards_are_waited_for(
    source: Noted, tmp_path: Path, raised: BaseException
) -> None:
    class Broken(SteadyFolder):
        def fetch(self, name: str) -> None:
            raise raised

    folder = Broken(source, ShardCache(tmp_path / "cache", 10**9))
    with ReadAhead(plan().shards_from(0), [(folder, names())], 10**9) as ahead, pytest.raises(type(raised)):
        ahead.advance(0)
