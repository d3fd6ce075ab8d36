"""The lock of an address on an object store, on a real S3 server on loopback."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator

import fsspec
import msgspec
import pytest
from s3_server import credentials, s3_server

from phi3v_data.schema.errors import ConversionStopped, OutputError
from phi3v_data.storage import RemoteFolder
from phi3v_data.storage.lock import StoreLock

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

LOCK = ".convert/lock"
OWNED = """
import sys
from phi3v_data.storage import RemoteFolder
from phi3v_data.storage.lock import StoreLock

with StoreLock(RemoteFolder(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as (host, port), credentials(f"http://{host}:{port}"):
        fsspec.filesystem("s3").mkdir("locks")
        yield "s3://locks"


@pytest.fixture
def folder(bucket: str) -> RemoteFolder:
    return RemoteFolder(f"{bucket}/{uuid.uuid4().hex}")


def foreign(renewals: int = 0) -> bytes:
    """The lock of a process on another machine, of which nothing is known here."""
    process = {"host": "node-7", "pid": 12, "machine": "another", "started": "1"}
    return msgspec.json.encode({"owner": "other", "process": process, "renewals": renewals})


def test_a_second_run_is_refused_by_the_name_of_the_first(folder: RemoteFolder) -> None:
    with StoreLock(folder, LOCK, lease=0.4):
        second = StoreLock(folder, LOCK, lease=2.0)
        with pytest.raises(OutputError, match=r"another run is at work here \(process \d+ on .*\); wait for it to end"):
            second.__enter__()


def test_the_lock_is_free_when_its_run_has_ended(folder: RemoteFolder) -> None:
    for _ in range(2):
        with StoreLock(folder, LOCK) as lock:
            lock.check()
        assert not folder.exists(LOCK)


def test_a_lock_is_released_when_its_run_fails(folder: RemoteFolder) -> None:
    with pytest.raises(ValueError, match="planted"), StoreLock(folder, LOCK):
        raise ValueError("planted")
    assert not folder.exists(LOCK)


def test_the_lock_of_a_process_that_was_killed_here_is_taken_over_at_once(folder: RemoteFolder) -> None:
    command = [sys.executable, "-c", OWNED, folder.address, LOCK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        owner.kill()
        owner.wait()
    waited: list[float] = []
    with StoreLock(folder, LOCK, wait=waited.append) as lock:
        lock.check()
    assert not waited


def test_the_lock_of_another_machine_is_taken_over_after_a_lease_without_renewal(folder: RemoteFolder) -> None:
    folder.write(LOCK, foreign())
    waited: list[float] = []
    with StoreLock(folder, LOCK, lease=60.0, wait=waited.append) as lock:
        lock.check()
    assert sum(waited) == pytest.approx(60.0)


def test_the_lock_of_another_machine_that_renews_it_is_respected(folder: RemoteFolder) -> None:
    folder.write(LOCK, foreign())
    looks = iter(range(1, 100))

    def renew_on_the_third(_: float) -> None:
        if (look := next(looks)) == 3:
            folder.write(LOCK, foreign(look))

    with pytest.raises(OutputError, match="process 12 on node-7"):
        StoreLock(folder, LOCK, wait=renew_on_the_third).__enter__()
    assert next(looks) == 4


def test_a_damaged_lock_is_watched_like_a_foreign_one(folder: RemoteFolder) -> None:
    folder.write(LOCK, b"{not json")
    waited: list[float] = []
    with StoreLock(folder, LOCK, wait=waited.append) as lock:
        lock.check()
    assert waited


def test_of_many_that_find_an_abandoned_lock_one_gets_it(folder: RemoteFolder) -> None:
    folder.write(LOCK, foreign())
    together, entered, refused = threading.Barrier(4), threading.Semaphore(0), threading.Semaphore(0)
    held: list[StoreLock] = []
    done = threading.Event()

    def run() -> None:
        # All have watched for a whole lease before the first writes.
        lock = StoreLock(folder, LOCK, lease=0.4, wait=lambda _: None)
        together.wait()
        try:
            with lock:
                held.append(lock)
                entered.release()
                done.wait(30)
        except OutputError:
            refused.release()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=30)
    # The others may look again and again within no time; each either is refused, or waits for its turn.
    assert len(held) == 1
    held[0].check()
    done.set()
    for thread in threads:
        thread.join()


def test_a_lock_that_another_run_took_stops_its_owner(folder: RemoteFolder) -> None:
    with StoreLock(folder, LOCK, lease=0.2) as lock:
        folder.write(LOCK, foreign())
        lock._renewing.join(30)
        with pytest.raises(
            ConversionStopped, match=r"another run has taken over this address \(process 12 on node-7\)"
        ):
            lock.check()
    assert folder.read(LOCK) == foreign()  # it is no longer ours to release


def test_a_lease_is_renewed_again_and_again(folder: RemoteFolder) -> None:
    with StoreLock(folder, LOCK, lease=0.2) as lock:
        versions = {folder.version(LOCK)}
        while len(versions) < 4:
            versions.add(folder.version(LOCK))
        lock.check()


def test_a_lock_object_that_somebody_removed_is_written_again(folder: RemoteFolder) -> None:
    with StoreLock(folder, LOCK, lease=0.2) as lock:
        folder.delete(LOCK)
        while not folder.exists(LOCK):
            pass
        lock.check()


def test_a_free_lock_is_taken_without_a_pause_where_the_store_honours_conditions(folder: RemoteFolder) -> None:
    waited: list[float] = []
    with StoreLock(folder, LOCK, wait=waited.append):
        assert not waited
    assert not folder.exists(LOCK)


class _Together(RemoteFolder):
    """A folder in which two writers begin to write at one moment."""

    start = threading.Barrier(2)

    def replace(self, name: str, data: bytes, version: str | None) -> bool:
        if version is None:
            self.start.wait()
        return super().replace(name, data, version)


@pytest.fixture
def unconditional() -> Iterator[RemoteFolder]:
    """A folder on a store that writes whatever the condition says."""
    with s3_server(conditional=False) as (host, port), credentials(f"http://{host}:{port}"):
        fsspec.filesystem("s3").makedirs("unconditional", exist_ok=True)
        yield RemoteFolder(f"s3://unconditional/{uuid.uuid4().hex}")


def test_both_of_two_writers_are_told_that_they_wrote(unconditional: RemoteFolder) -> None:
    assert unconditional.replace(LOCK, b"one", None)
    assert unconditional.replace(LOCK, b"two", None)
    assert not unconditional.refuses_to_overwrite(LOCK, b"two")


def test_of_two_that_start_at_one_moment_one_gets_the_lock(unconditional: RemoteFolder) -> None:
    both_wrote = threading.Barrier(2)
    held: list[StoreLock] = []
    refused: list[str] = []
    ended = threading.Event()

    def run() -> None:
        first, seen = True, None

        def wait(_: float) -> None:
            nonlocal first, seen
            if first:
                both_wrote.wait()
            while not first and unconditional.version(LOCK) == seen:
                pass  # until the other renews it
            first, seen = False, unconditional.version(LOCK)

        lock = StoreLock(_Together(unconditional.address), LOCK, lease=0.4, wait=wait)
        try:
            with lock:
                held.append(lock)
                ended.wait(30)
                lock.check()
        except OutputError as error:
            refused.append(str(error))
            ended.set()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    assert "another run is at work here" in refused[0]


def test_a_write_that_arrives_late_stops_the_run_that_it_overwrote(unconditional: RemoteFolder) -> None:
    with StoreLock(unconditional, LOCK, lease=0.2) as lock:
        unconditional.write(LOCK, foreign())
        lock._renewing.join(30)
        with pytest.raises(ConversionStopped, match="another run has taken over this address"):
            lock.check()
    assert unconditional.read(LOCK) == foreign()
