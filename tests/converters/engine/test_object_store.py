"""Conversions from and to an S3 server on loopback, behind a wire that can be cut."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Iterator
from functools import partial

import fsspec
import pytest
from conversions import Bench, Pages
from s3_server import credentials, s3_server

from phi3v_data.converters.engine import run, state
from phi3v_data.converters.engine.local import LocalExecutor
from phi3v_data.converters.engine.messages import Work, decode_outcome
from phi3v_data.converters.engine.state import STATE
from phi3v_data.converters.images import ImageSettings
from phi3v_data.schema.errors import ConversionStopped, OutputError, UsageError
from phi3v_data.storage import open_folder, remote
from phi3v_data.storage.lock import StoreLock

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


class Wire:
    """Passes connections on to a server until it is cut."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._bytes_left: int | None = None
        self._down = False
        self.sent = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_after(self, sent: int, *, for_good: bool) -> None:
        """Cut every connection once so many more bytes were sent to the server."""
        with self._lock:
            self._bytes_left, self._for_good = sent, for_good

    def restore(self) -> None:
        with self._lock:
            self._bytes_left, self._down = None, False

    @property
    def was_cut(self) -> bool:
        return self._bytes_left is not None and self._bytes_left <= 0

    def close(self) -> None:
        self._listener.close()
        self._hang_up()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if self._down:
                here.close()
                continue
            there = socket.create_connection(self._server)
            self._ends += [here, there]
            threading.Thread(target=self._pump, args=(here, there, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(there, here, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if counted and self._count(len(data)):
                    return
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int) -> bool:
        with self._lock:
            self.sent += size
            if self._bytes_left is None or self._bytes_left <= 0:
                return False
            self._bytes_left -= size
            if self._bytes_left > 0:
                return False
            self._down = self._for_good
        self._hang_up()
        return True

    def _hang_up(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    import boto3

    with s3_server() as address:
        wire = Wire(address)
        with credentials(wire.url) as patch:
            patch.setenv("AWS_MAX_ATTEMPTS", "2")
            boto3.client("s3").create_bucket(Bucket="conversions")
            yield wire
        wire.close()


@pytest.fixture
def store(bench: Bench, wire: Wire, request: pytest.FixtureRequest) -> str:
    bench.write({"train": 12, "val": 3}, {"train/0003": "damaged"})
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"s3://conversions/{name}"


def files(address: str) -> dict[str, bytes]:
    """Every object below an address, hidden ones included; but for the card, which the command writes."""
    import boto3

    client = boto3.client("s3")
    prefix = address.removeprefix("s3://conversions/") + "/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="conversions", Prefix=prefix)
    found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    keys = [key for key in found if not key.endswith("/README.md")]
    return {key.removeprefix(prefix): client.get_object(Bucket="conversions", Key=key)["Body"].read() for key in keys}


def test_a_store_gets_the_bytes_that_a_disk_gets(bench: Bench, store: str) -> None:
    bench.convert(store)
    bench.convert("whole")
    assert files(store) == bench.files("whole")
    assert bench.convert(store).already_complete


def test_raw_data_may_lie_in_a_store(bench: Bench, store: str) -> None:
    raw = open_folder(f"{store}/raw")
    for path in sorted(bench.input.rglob("*.json")):
        raw.write(str(path.relative_to(bench.input)), path.read_bytes())
    bench.convert("from-store", input=raw.address)
    bench.convert("whole")
    assert bench.files("from-store") == bench.files("whole")


def test_shards_alone_leave_no_other_image_in_a_store(bench: Bench, store: str) -> None:
    bench.convert(store, shard_size=20_000, image_files=False)
    bench.convert("whole", shard_size=20_000, image_files=False)
    assert files(store) == bench.files("whole")


@pytest.mark.slow
def test_shared_images_come_to_the_same_bytes_on_a_store(pages: Pages, wire: Wire) -> None:
    pages.typical()
    pages.bench.convert("s3://conversions/shared", shard_size=20_000)
    pages.bench.convert("whole", shard_size=20_000)
    assert files("s3://conversions/shared") == pages.bench.files("whole")


def test_a_wire_cut_for_a_moment_goes_unnoticed(bench: Bench, store: str, wire: Wire) -> None:
    wire.cut_after(20_000, for_good=False)
    bench.convert(store)
    assert wire.was_cut
    wire.restore()
    bench.convert("whole")
    assert files(store) == bench.files("whole")


@pytest.mark.slow
def test_a_wire_cut_for_good_stops_the_run_and_restored_it_resumes(
    bench: Bench, store: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_STORE_LOOKS", 0.0)
    before = wire.sent
    bench.convert(f"{store}-uncut")
    wire.cut_after((wire.sent - before) // 2, for_good=True)
    with pytest.raises(ConversionStopped, match="connection failed") as stopped:
        bench.convert(store)
    assert "\n" not in str(stopped.value)
    wire.restore()
    assert "dataset.json" not in files(store)
    given: list[int] = []
    # The lock is still on the store, and its owner is known to have ended: there is nothing to wait for.
    waited: list[float] = []
    monkeypatch.setattr(state, "StoreLock", partial(StoreLock, wait=waited.append))

    class Counting(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            for line in super().run(works):
                given.append(decode_outcome(line).index)
                yield line

    monkeypatch.setattr(run, "LocalExecutor", Counting)
    bench.convert(store)
    assert not waited
    assert 0 < len(given) < 15
    bench.convert("whole")
    assert files(store) == bench.files("whole")


@pytest.mark.slow
def test_a_wire_cut_while_reading_is_not_blamed_on_the_items(bench: Bench, store: str, wire: Wire) -> None:
    raw = open_folder(f"{store}/raw")
    for path in sorted(bench.input.rglob("*.json")):
        raw.write(str(path.relative_to(bench.input)), path.read_bytes())
    before = wire.sent
    bench.convert("uncut", input=raw.address)
    wire.cut_after((wire.sent - before) // 2, for_good=True)
    with pytest.raises(ConversionStopped, match="connection failed"):
        bench.convert("cut", input=raw.address)
    wire.restore()
    bench.convert("cut", input=raw.address)
    assert bench.files("cut") == bench.files("uncut")


@pytest.mark.slow
def test_a_store_that_cannot_be_reached_at_all_is_one_clear_line(bench: Bench, store: str, wire: Wire) -> None:
    wire.cut_after(1, for_good=True)
    with pytest.raises(ConversionStopped, match="connection failed"):
        bench.convert(store)
    wire.restore()


@pytest.mark.slow
def test_a_run_killed_on_a_store_goes_on_from_what_reached_it(bench: Bench, store: str) -> None:
    killed = bench.command(store, inject="journal-appended:6:kill-all")
    assert killed.returncode == -9, killed.stderr
    assert bench.command(store).returncode == 0
    bench.convert("whole")
    assert files(store) == bench.files("whole")


@pytest.mark.slow
def test_other_options_are_refused_on_a_store_too_and_restart_clears_it(bench: Bench, store: str) -> None:
    bench.convert(store, images=ImageSettings(quality=30))
    with pytest.raises(UsageError, match="quality 30 -> 75"):
        bench.convert(store)
    bench.convert(store, restart=True)
    bench.convert("whole")
    assert files(store) == bench.files("whole")


@pytest.mark.slow
def test_quarantined_items_are_retried_on_a_store(bench: Bench, store: str) -> None:
    bench.convert(store, shard_size=20_000)
    bench.write_item("train/0003")
    bench.convert(store, shard_size=20_000, retry_quarantined=True)
    bench.convert("whole", shard_size=20_000)
    assert files(store) == bench.files("whole")


def test_two_runs_do_not_work_at_one_address(bench: Bench, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = f"{STATE}/lock"
    renewals = itertools.count()

    def renew(_: float) -> None:
        process = {"host": "node-7", "pid": 12, "machine": "another", "started": "1"}
        lease = {"owner": "another run", "process": process, "renewals": next(renewals)}
        open_folder(store).write(lock, json.dumps(lease).encode())

    renew(0.0)
    monkeypatch.setattr(state, "StoreLock", partial(StoreLock, wait=renew))
    with pytest.raises(OutputError, match=r"another run is at work here \(process 12 on node-7\)"):
        bench.convert(store)
    assert set(files(store)) == {lock}
    open_folder(store).delete(lock)
    bench.convert(store)
    bench.convert("whole")
    assert files(store) == bench.files("whole")


def test_a_bucket_that_is_not_there_is_an_output_that_cannot_be_written(bench: Bench, wire: Wire) -> None:
    bench.write({"train": 1})
    with pytest.raises(OutputError, match="cannot be written"):
        bench.convert("s3://no-such-bucket/data")


def test_a_store_that_never_answers_ends_the_run_with_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(remote._S3, "read_timeout", 0.1)
    bench.write({"train": 1})
    with socket.create_server(("127.0.0.1", 0)) as silent, credentials(f"http://127.0.0.1:{silent.getsockname()[1]}"):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        try:
            with pytest.raises(ConversionStopped, match="connection failed") as stopped:
                bench.convert("s3://bucket/data")
        finally:
            fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert "\n" not in str(stopped.value)
    assert capfd.readouterr().err == ""


def test_a_state_removed_from_a_store_during_the_run_is_written_again_and_a_rerun_converts_what_is_missing(
    bench: Bench, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Removing(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            *first, last = super().run(works)
            yield from first
            open_folder(store).delete("")
            yield last

    monkeypatch.setattr(run, "LocalExecutor", Removing)
    with pytest.raises(ConversionStopped, match=r"removed or replaced .*; rerun"):
        bench.convert(store)
    monkeypatch.undo()
    bench.convert(store)
    bench.convert("whole")
    assert files(store) == bench.files("whole")
