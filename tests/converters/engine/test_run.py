from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conversions import Bench, Pages, rows
from PIL import Image

from phi3v_data.converters.engine import run
from phi3v_data.converters.engine.header import encode_header
from phi3v_data.converters.engine.local import LocalExecutor
from phi3v_data.converters.engine.messages import Work, decode_outcome
from phi3v_data.converters.engine.plan import Selection
from phi3v_data.converters.engine.run import convert
from phi3v_data.converters.engine.state import HEADER, read_header
from phi3v_data.converters.images import ImageSettings
from phi3v_data.schema.errors import ConversionStopped, DatasetError, InputError, OutputError, RunError, UsageError
from phi3v_data.schema.jsonl import read_records
from phi3v_data.schema.layout import read_manifest
from phi3v_data.storage import LocalFolder


def test_a_dataset_holds_records_in_discovery_order_their_images_and_a_manifest(bench: Bench) -> None:
    bench.write({"train": 12, "val": 3})
    summary = bench.convert()
    out = LocalFolder(bench.root / "out")
    train = list(read_records(out, "patches_train.jsonl"))
    assert [r.id for r in train] == [f"train-{n:06d}" for n in range(12)]
    with Image.open(bench.root / "out/images" / train[5].conversations[0].images[1]) as image:
        assert image.size == (8, 8)
    assert read_manifest(out) == summary.manifest
    assert rows(summary) == {"train": (12, 12, 0, 0), "val": (3, 3, 0, 0)}
    assert [r.images for r in summary.manifest.splits] == [24, 6]
    names = set(bench.files())
    assert len(names) == 30 + 3
    assert not any(name.startswith(".") for name in names)


class _Backwards(LocalExecutor):
    """Hands the items out in another order."""

    def run(self, works: Iterator[Work]) -> Iterator[bytes]:
        return super().run(reversed(list(works)))


def test_the_bytes_do_not_depend_on_workers_or_the_order_of_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 9, "val": 4}, {"train/0002": "bug", "val/0003": "die", "val/0000": "damaged"})
    bench.convert("one", workers=1)
    bench.convert("two", workers=2)
    monkeypatch.setattr(run, "LocalExecutor", _Backwards)
    bench.convert("backwards", workers=3)
    assert bench.files("one") == bench.files("two") == bench.files("backwards")


def test_every_way_an_item_can_fail_is_named_and_leaves_no_image(bench: Bench) -> None:
    ways = {
        "damaged": ("decode", "MediaError"),
        "bug": ("convert", "KeyError"),
        "leave": ("convert", "ItemError"),
        "steal": ("convert", "ItemError"),
        "twice": ("convert", "ItemError"),
        "hide": ("record", "ItemError"),
        "rename": ("record", "ItemError"),
        "no image": ("encode", "ItemError"),
        "die": ("worker", "WorkerExited"),
    }
    does = {f"train/{2 * i + 2:04d}": way for i, way in enumerate(ways)}
    bench.write({"train": 2 * len(ways) + 2}, does)
    summary = bench.convert()
    found = {line["path"].removesuffix(".json"): (line["stage"], line["exception"]) for line in bench.quarantine()}
    assert found == {path: ways[way] for path, way in does.items()}
    assert rows(summary) == {"train": (20, 11, 9, 0)}
    shown = {name for r in read_records(LocalFolder(bench.root / "out"), "patches_train.jsonl") for name in r.images()}
    written = {name.removeprefix("images/") for name in bench.files() if name.startswith("images/")}
    assert shown == written


def test_what_a_killed_run_left_of_an_item_that_then_fails_is_removed(bench: Bench) -> None:
    bench.write({"train": 2})
    assert bench.command("out", "--workers", "1", inject="image-written:2:kill-all").returncode == -9
    assert "images/train/0000.1.jpg" in bench.files()
    (bench.input / "train/0000.json").write_bytes(b"")
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_progress_counts_what_is_settled_and_what_is_quarantined(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0001": "damaged"})
    shown: list[tuple[str, int, int]] = []

    def show(what: str, unit: str, done: int, total: int) -> None:
        if what == "Converting":
            shown.append((unit, done, total))

    convert(bench.request(workers=1), show)
    quarantined = "items, 1 quarantined"
    assert shown == [("items", 0, 3), ("items", 1, 3), (quarantined, 2, 3), (quarantined, 3, 3)]


def test_odd_names_come_through(bench: Bench) -> None:
    for name in (
        "train/with space",
        "train/ü日本",
        "train/new\nline",
        "train/dot.in.name",
        "train/-dash",
        "train/'q\"",
    ):
        bench.write_item(name)
    (bench.input / "train" / "folder.json").mkdir()
    (bench.input / "train" / "empty.json").write_bytes(b"")
    assert rows(bench.convert()) == {"train": (8, 6, 2, 0)}
    assert {(q["path"], q["stage"]) for q in bench.quarantine()} == {
        ("train/folder.json", "open"),
        ("train/empty.json", "convert"),
    }


def test_items_that_would_overwrite_each_other_are_quarantined_not_converted(bench: Bench) -> None:
    bench.write_item("train/clip")
    bench.write_item("train/CLIP")
    assert rows(bench.convert()) == {"train": (2, 1, 1, 0)}
    assert "would overwrite those of train/CLIP.json" in bench.quarantine()[0]["message"]


def test_what_was_not_asked_for_is_counted_as_skipped(bench: Bench) -> None:
    bench.write({"train": 5, "val": 5})
    summary = bench.convert(selection=Selection(("val",), 2))
    assert rows(summary) == {"train": (5, 0, 0, 5), "val": (5, 2, 0, 3)}
    assert summary.manifest.options["splits"] == ["val"]


def _count_work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the index of every item that is handed to a worker."""
    given: list[int] = []

    class Counting(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            for line in super().run(works):
                given.append(decode_outcome(line).index)
                yield line

    monkeypatch.setattr(run, "LocalExecutor", Counting)
    return given


def test_a_stopped_run_resumes_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 10}, {"train/0006": "no space"})
    with pytest.raises(ConversionStopped, match="the disk is full"):
        bench.convert(workers=1)
    bench.write_item("train/0006")
    given = _count_work(monkeypatch)
    bench.convert()
    assert sorted(given) == [6, 7, 8, 9]
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_finished_run_has_nothing_left_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 3})
    first = bench.convert()
    before = bench.files()
    given = _count_work(monkeypatch)
    again = bench.convert()
    assert again.already_complete
    assert again.manifest == first.manifest
    assert bench.files() == before
    assert given == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": ImageSettings(quality=20)}, "quality 75 -> 20"),
        (
            {"images": ImageSettings(image_format="png", max_pixels=9, max_side=4, fit_crops=1)},
            "image_format keep -> png; max_pixels null -> 9; max_side null -> 4; fit_crops null -> 1",
        ),
        ({"options": {"side": 4}}, "side 8 -> 4"),
        ({"options": {"sampling": {"frames": 3}}}, r'sampling .*"frames":8.* -> .*"frames":3'),
        ({"selection": Selection(None, 2)}, "limit null -> 2"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_with_other_options_says_which_and_refuses(
    bench: Bench, change: dict[str, Any], said: str, finished: bool
) -> None:
    bench.write({"train": 4}, {} if finished else {"train/0003": "no space"})
    if finished:
        bench.convert()
    else:
        with pytest.raises(ConversionStopped):
            bench.convert(workers=1)
    before = bench.files()
    with pytest.raises(UsageError, match=said) as refused:
        bench.convert(**change)
    assert "--restart" in str(refused.value)
    assert bench.files() == before
    bench.write_item("train/0003")
    bench.convert(restart=True, **change)
    bench.convert("whole", **change)
    assert bench.files() == bench.files("whole")


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_whose_input_has_changed_refuses(bench: Bench, finished: bool) -> None:
    bench.write({"train": 4}, {} if finished else {"train/0003": "no space"})
    if finished:
        bench.convert()
    else:
        with pytest.raises(ConversionStopped):
            bench.convert(workers=1)
    bench.write_item("train/0009")
    with pytest.raises(UsageError, match="no longer holds the same samples"):
        bench.convert()


def test_libraries_of_other_versions_are_refused_while_images_are_still_to_be_made(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0002": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    folder = LocalFolder(bench.root / "out")
    header = read_header(folder)
    assert header is not None
    folder.write(HEADER, encode_header(msgspec.structs.replace(header, decoders={"opencv": "1.0"})))
    with pytest.raises(UsageError, match="version of opencv"):
        bench.convert()


def test_libraries_of_other_versions_do_not_matter_to_a_finished_dataset(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0002": "damaged"})
    bench.convert()
    manifest = bench.root / "out/dataset.json"
    manifest.write_text(manifest.read_text().replace('"opencv"', '"opencv-of-old"'))
    assert bench.convert().already_complete
    with pytest.raises(UsageError, match="version of opencv"):
        bench.convert(retry_quarantined=True)


@pytest.mark.parametrize("name", ["../precious.jsonl", "/precious.jsonl", "images", "a/b.jsonl"])
def test_a_folder_made_by_a_stranger_cannot_name_what_a_restart_removes(bench: Bench, name: str) -> None:
    bench.write({"train": 2}, {"train/0001": "no space"})
    (bench.root / "precious.jsonl").touch()
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    bench.write_item("train/0001")
    folder = LocalFolder(bench.root / "out")
    header = read_header(folder)
    assert header is not None
    folder.write(HEADER, encode_header(msgspec.structs.replace(header, stale=[name])))
    with pytest.raises(DatasetError, match="damaged"):
        bench.convert()
    bench.convert(restart=True)
    assert (bench.root / "precious.jsonl").exists()


def test_a_run_on_another_input_names_both(bench: Bench) -> None:
    bench.write({"train": 2}, {"train/0001": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    shutil.copytree(bench.input, bench.root / "copy")
    with pytest.raises(UsageError, match=r"input .*/raw -> .*/copy"):
        bench.convert(input=str(bench.root / "copy"))


def test_a_restart_with_another_source_leaves_nothing_of_the_first(bench: Bench) -> None:
    bench.write({"train": 2, "val": 1})
    text = Path(bench.source.rpartition(":")[0]).read_text().replace('= "patches"', '= "other"')
    (bench.root / "other.py").write_text(text)
    source = f"{bench.root}/other.py:Patches"
    bench.convert()
    with pytest.raises(UsageError, match="source patches -> other"):
        bench.convert(source=source)
    bench.convert(source=source, restart=True)
    bench.convert("whole", source=source)
    assert bench.files() == bench.files("whole")


def test_quarantined_items_are_retried_on_request_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 6, "val": 3}, {"train/0002": "damaged", "val/0001": "bug"})
    bench.convert()
    bench.write_item("train/0002")
    assert bench.convert().already_complete
    given = _count_work(monkeypatch)
    summary = bench.convert(retry_quarantined=True)
    assert sorted(given) == [2, 7]
    assert rows(summary) == {"train": (6, 6, 0, 0), "val": (3, 2, 1, 0)}
    assert [q["path"] for q in bench.quarantine()] == ["val/0001.json"]
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_retry_that_converts_everything_leaves_no_quarantine_file(bench: Bench) -> None:
    bench.write({"train": 2}, {"train/0001": "damaged"})
    bench.convert()
    bench.write_item("train/0001")
    bench.convert(retry_quarantined=True)
    assert "quarantine.jsonl" not in bench.files()


def test_failures_of_an_unfinished_run_are_retried_too(bench: Bench) -> None:
    bench.write({"train": 5}, {"train/0001": "damaged", "train/0004": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    bench.write_item("train/0001")
    bench.write_item("train/0004")
    assert rows(bench.convert(retry_quarantined=True)) == {"train": (5, 5, 0, 0)}


def test_on_error_fail_stops_at_the_first_failure_and_keeps_the_rest(bench: Bench) -> None:
    bench.write({"train": 6}, {"train/0004": "damaged"})
    with pytest.raises(ConversionStopped, match=r"train/0004.json \(decode: MediaError: no frame can be decoded\)"):
        bench.convert(on_error="fail", workers=1)
    assert "dataset.json" not in bench.files()
    bench.write_item("train/0004")
    assert rows(bench.convert(on_error="fail")) == {"train": (6, 6, 0, 0)}


def test_on_error_fail_counts_what_the_plan_refuses(bench: Bench) -> None:
    bench.write_item("train/clip")
    bench.write_item("train/CLIP")
    with pytest.raises(ConversionStopped, match="would overwrite"):
        bench.convert(on_error="fail")


def test_too_many_failures_in_a_row_stop_the_run_and_can_be_retried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FAILURES_IN_A_ROW", 5)
    bad = {f"train/{n:04d}": "damaged" for n in range(10, 17)}
    bench.write({"train": 20}, bad)
    with pytest.raises(ConversionStopped, match="5 items in a row failed"):
        bench.convert(workers=1)
    assert "dataset.json" not in bench.files()
    for name in bad:
        bench.write_item(name)
    assert rows(bench.convert(retry_quarantined=True)) == {"train": (20, 20, 0, 0)}


def test_failures_with_successes_between_them_do_not_stop_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FAILURES_IN_A_ROW", 3)
    bench.write({"train": 12}, {f"train/{n:04d}": "damaged" for n in range(12) if n % 3})
    assert rows(bench.convert(workers=1)) == {"train": (12, 4, 8, 0)}


def test_a_dataset_without_a_single_record_is_no_success(bench: Bench) -> None:
    bench.write({"train": 3}, {f"train/{n:04d}": "bug" for n in range(3)})
    said = r"\(3 items in .*\); the first, train/0000.json: KeyError: 'colour' .*; fix the raw data or .* and rerun$"
    for _ in range(2):
        with pytest.raises(ConversionStopped, match=said):
            bench.convert()
    assert len(bench.quarantine()) == 3


@pytest.mark.parametrize("retry", [False, True])
def test_where_nothing_was_converted_the_corrected_command_runs(bench: Bench, retry: bool) -> None:
    bench.write({"train": 2, "val": 1}, {"train/0000": "damaged", "train/0001": "damaged", "val/0000": "damaged"})
    with pytest.raises(ConversionStopped, match="nothing could be converted"):
        bench.convert(images=ImageSettings(quality=20))
    bench.write_item("train/0001")
    bench.write_item("val/0000")
    bench.convert(options={"side": 5}, retry_quarantined=retry)
    bench.convert("whole", options={"side": 5})
    assert bench.files() == bench.files("whole")


def test_where_an_unfinished_run_converted_nothing_the_corrected_command_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FAILURES_IN_A_ROW", 3)
    bench.write({"train": 6}, {f"train/{n:04d}": "damaged" for n in range(6)})
    with pytest.raises(ConversionStopped, match="3 items in a row failed"):
        bench.convert()
    bench.write({"train": 6})
    bench.convert(options={"side": 5})
    bench.convert("whole", options={"side": 5})
    assert bench.files() == bench.files("whole")


def test_data_that_discovery_refuses_altogether_is_no_success(pages: Pages) -> None:
    pages.ask('{"page": ')
    with pytest.raises(
        ConversionStopped, match=r"\(1 item in quarantine.jsonl there\).*:1: not valid JSON .* and rerun$"
    ):
        pages.bench.convert()
    pages.ask({"page": "back"})
    pages.bench.convert()


def test_a_dataset_inside_its_own_raw_data_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 1})
    inside = f"{bench.input}/data/out"
    with pytest.raises(UsageError, match=r"data/out: lies in the input .*/raw, and would be raw data itself"):
        bench.convert(inside)
    monkeypatch.chdir(bench.input)
    with pytest.raises(UsageError, match="choose another --out"):
        bench.convert(inside, input=".")
    assert not (bench.input / "data").exists()
    # A name that only begins alike is another folder.
    bench.convert("raw-converted")


def test_no_memory_stops_the_run_with_a_hint(bench: Bench) -> None:
    bench.write({"train": 2}, {"train/0001": "no memory"})
    with pytest.raises(ConversionStopped, match=r"out of memory \(2 TiB\); use fewer --workers"):
        bench.convert()


def test_an_item_that_gets_lost_violates_the_law_and_nothing_is_finished(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Losing(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            return super().run(work for work in works if work.index != 1)

    bench.write({"train": 3})
    monkeypatch.setattr(run, "LocalExecutor", Losing)
    with pytest.raises(RunError, match=r"3 discovered, but 2 written \+ 0 quarantined \+ 0 skipped"):
        bench.convert()
    assert not {"dataset.json", "patches_train.jsonl"} & set(bench.files())
    monkeypatch.undo()
    bench.convert()


def test_a_folder_of_somebody_else_is_left_alone_even_on_restart(bench: Bench) -> None:
    bench.write({"train": 1})
    (bench.root / "out").mkdir()
    (bench.root / "out" / "thesis.tex").write_text("years of work")
    for restart in (False, True):
        with pytest.raises(OutputError, match=r"holds 'thesis\.tex' and no dataset\.json"):
            bench.convert(restart=restart)
    assert bench.files() == {"thesis.tex": b"years of work"}


def test_an_output_that_cannot_be_is_refused(bench: Bench) -> None:
    bench.write({"train": 1})
    (bench.root / "file").write_text("")
    for out in ("file", "file/below"):
        with pytest.raises(OutputError):
            bench.convert(out)


def test_two_runs_do_not_work_in_one_folder(bench: Bench) -> None:
    bench.write({"train": 1})
    (bench.root / "out/.convert").mkdir(parents=True)
    with (bench.root / "out/.convert/lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another conversion is at work"):
            bench.convert()
    bench.convert()


def test_bad_input_leaves_no_trace_of_an_output(bench: Bench) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        bench.convert()
    bench.input.mkdir()
    with pytest.raises(InputError, match="nothing to convert"):
        bench.convert("deep/out")
    assert [path.name for path in bench.root.iterdir()] == ["raw"]


def test_an_archive_gives_the_records_its_folder_gives_and_is_gone_at_the_end(bench: Bench) -> None:
    bench.write({"train": 3})
    shutil.make_archive(str(bench.root / "raw"), "zip", bench.input)
    bench.convert("folder")
    bench.convert("archive", input=str(bench.root / "raw.zip"))
    assert bench.files("folder") == bench.files("archive")


def test_an_archive_replaced_by_another_is_another_input(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0002": "no space"})
    archive = shutil.make_archive(str(bench.root / "raw"), "zip", bench.input)
    with pytest.raises(ConversionStopped):
        bench.convert(input=archive, workers=1)
    bench.write_item("train/0002")
    shutil.make_archive(str(bench.root / "raw"), "zip", bench.input)
    with pytest.raises(UsageError, match=r"input .*raw\.zip"):
        bench.convert(input=archive)


def test_the_orphan_of_a_killed_run_is_swept_away(bench: Bench) -> None:
    bench.write({"train": 2})
    bench.convert("whole")
    (bench.root / "out/.partial").mkdir(parents=True)
    (bench.root / "out/.partial/0123").write_text("half an image")
    bench.convert()
    assert bench.files() == bench.files("whole")


def test_an_option_the_source_does_not_have_is_refused_before_anything_is_read(bench: Bench) -> None:
    with pytest.raises(UsageError, match="patches has no option 'sides'; did you mean 'side'"):
        bench.convert(options={"sides": 3})


@pytest.mark.slow
def test_a_full_disk_ends_with_one_line_and_with_room_the_run_completes_to_the_same_bytes(bench: Bench) -> None:
    disk = bench.root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        bench.write({"train": 200})
        full = bench.command("disk/out")
        assert full.returncode == 1
        assert full.stderr.count("\n") == 1
        assert "the disk is full" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert bench.command("disk/out").returncode == 0
        bench.convert("whole")
        assert bench.files("disk/out") == bench.files("whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("point", ["journal-half-appended", "records-half-written", "manifest-half-written"])
def test_a_disk_that_fills_under_the_driver_stops_the_run_and_it_goes_on_later(bench: Bench, point: str) -> None:
    bench.write({"train": 5})
    full = bench.command(inject=f"{point}:1:full")
    assert (full.returncode, full.stderr.count("\n")) == (1, 1)
    assert "the disk is full" in full.stderr
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


@pytest.mark.parametrize(
    ("does", "code", "word"), [("interrupt", 130, "interrupted"), ("terminate", 143, "terminated")]
)
def test_a_signal_stops_the_run_with_one_line_and_it_resumes_later(
    bench: Bench, does: str, code: int, word: str
) -> None:
    bench.write({"train": 30}, {"train/0009": does})
    stopped = bench.command()
    assert stopped.returncode == code
    assert stopped.stderr.strip() == f"phi3v-data: {word}; what was done so far is kept"
    bench.write_item("train/0009")
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_the_manifest_names_every_option_and_the_decoders(bench: Bench) -> None:
    bench.write({"train": 1})
    bench.convert(options={"side": 6, "sampling": {"strategy": "segment", "frames": 3}})
    manifest = json.loads(bench.files()["dataset.json"])
    assert manifest["options"]["sampling"]["strategy"] == "segment"
    assert manifest["options"]["side"] == 6
    assert "opencv" in manifest["decoders"]
    assert str(bench.root) not in bench.files()["dataset.json"].decode()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_an_image_lost_since_an_unfinished_run_is_made_again(
    bench: Bench, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write({"train": 5}, {"train/0004": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    damage(bench.root / "out/images/train/0002.1.jpg")
    bench.write_item("train/0004")
    given = _count_work(monkeypatch)
    bench.convert()
    assert sorted(given) == [2, 4]
    bench.convert("whole")
    assert bench.files() == bench.files("whole")
