"""A kill -9 at every write point, then a second run: every byte as if nothing had happened."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from conversions import Bench

from phi3v_data.converters.engine import fault_injection
from phi3v_data.converters.images import ImageSettings
from phi3v_data.schema.errors import UsageError

ENGINE = Path(inspect.getfile(fault_injection)).parent

# How often each point is passed before the kill: some way into the work.
_COUNTS = {"image-half-written": 3, "image-written": 4, "journal-half-appended": 5, "journal-appended": 6}


def _passed() -> set[str]:
    """The names that the engine's code passes to `fault_injection.point` and `fault_injection.write`."""
    names = set()
    for path in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "fault_injection.point",
                "fault_injection.write",
            ):
                last = node.args[-1]
                assert isinstance(last, ast.Constant)
                names.add(str(last.value))
    return names


POINTS = sorted(_passed())


def test_there_is_a_point_at_whatever_is_written_for_good() -> None:
    written = {"header", "journal", "image", "records", "quarantine", "orphans", "shard", "shards", "manifest", "state"}
    assert {point.partition("-")[0] for point in POINTS} == written


def _write(bench: Bench) -> None:
    bench.write({"train": 6, "val": 4}, {"val/0001": "damaged", "train/0003": "bug"})


# One set of options, as a command takes them and as a request does.
_SHARDS = ("--shards", "--shard-size", "6kB", "--no-images")
_SHARDED = {"shard_size": 6000, "image_files": False}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_any_point_ends_in_the_same_bytes(point: str, bench: Bench) -> None:
    _write(bench)
    more = _SHARDS if "shard" in point else ()
    killed = bench.command("out", *more, inject=f"{point}:{_COUNTS.get(point, 1)}:kill-all")
    assert killed.returncode == -9, killed.stderr
    for out in ("out", "whole"):
        bench.convert(out, **(_SHARDED if more else {}))
    assert bench.files() == bench.files("whole")


@pytest.mark.slow
@pytest.mark.parametrize("point", ["header-written", "journal-created", "manifest-written", "journal-appended"])
def test_a_restart_killed_at_any_point_ends_in_the_same_bytes(point: str, bench: Bench) -> None:
    _write(bench)
    bench.convert(images=ImageSettings(quality=30))
    killed = bench.command("out", "--restart", inject=f"{point}:1:kill-all")
    assert killed.returncode == -9, killed.stderr
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


@pytest.mark.slow
@pytest.mark.parametrize("point", ["header-half-written", "header-written", "journal-appended", "records-written"])
def test_a_retry_killed_at_any_point_ends_in_the_same_bytes(point: str, bench: Bench) -> None:
    _write(bench)
    bench.convert()
    bench.write_item("val/0001")
    bench.write_item("train/0003")
    killed = bench.command("out", "--retry-quarantined", inject=f"{point}:1:kill-all")
    assert killed.returncode == -9, killed.stderr
    bench.convert(retry_quarantined=True)
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_driver_that_is_killed_takes_its_workers_with_it(bench: Bench) -> None:
    bench.write({"train": 6}, {"train/0000": "linger"})
    # A worker that lived on would hold the pipes open that are waited for here.
    assert bench.command(inject="journal-appended:2:kill").returncode == -9
    bench.write_item("train/0000")
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_workers_that_keep_dying_over_their_images_change_nothing(bench: Bench) -> None:
    bench.write({"train": 12})
    assert bench.command(inject="image-half-written:7:kill").returncode == 0
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


@pytest.mark.parametrize("text", ["image-written:kill", "image-written:x:kill", "image-written:1:x"])
def test_an_injection_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="PHI3V_FAULT_INJECTION"):
        fault_injection.Injection(text)
