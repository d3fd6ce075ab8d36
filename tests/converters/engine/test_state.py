"""What a conversion finds in its folder when somebody or something else was at it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conversions import Bench, Pages, rows

from phi3v_data.converters.engine import run, state
from phi3v_data.converters.engine.local import LocalExecutor
from phi3v_data.converters.engine.messages import Work
from phi3v_data.converters.engine.run import convert
from phi3v_data.converters.engine.state import HEADER, Phase, state_of
from phi3v_data.converters.images import ImageSettings
from phi3v_data.schema.errors import ConversionStopped, DatasetError, OutputError, UsageError
from phi3v_data.storage import LocalFolder

ALONE: dict[str, Any] = {"shard_size": 20_000, "image_files": False}


def _before_the_last(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something when the workers have converted everything, and the driver has noted all but the last item."""

    class Acting(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            *first, last = super().run(works)
            yield from first
            action()
            yield last

    monkeypatch.setattr(run, "LocalExecutor", Acting)


@pytest.mark.parametrize("form", [{}, ALONE], ids=["files", "shards alone"])
def test_images_removed_during_the_run_are_noticed_and_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, form: dict[str, Any]
) -> None:
    bench.write({"train": 6})
    images = bench.root / "out" / ("images" if not form else ".convert/images")
    _before_the_last(monkeypatch, lambda: shutil.rmtree(images))
    with pytest.raises(
        ConversionStopped, match=r"images were removed or changed .* \(of 6 items, .*0000.json\); rerun"
    ):
        bench.convert(**form)
    assert "dataset.json" not in bench.files()
    monkeypatch.undo()
    bench.convert(**form)
    bench.convert("whole", **form)
    assert bench.files() == bench.files("whole")


def test_an_image_cut_during_the_run_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 3})
    _before_the_last(monkeypatch, lambda: (bench.root / "out/images/train/0001.1.jpg").write_bytes(b"half"))
    with pytest.raises(ConversionStopped, match=r"of 1 items?, the first train/0001.json"):
        bench.convert()


@pytest.mark.parametrize(
    ("removed", "form"), [("", {}), (".convert", ALONE), (".convert/run.json", {}), (".convert/journal", {})]
)
def test_a_dataset_folder_removed_during_the_run_is_noticed_and_a_rerun_converts_what_is_missing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, form: dict[str, Any], removed: str
) -> None:
    bench.write({"train": 6}, {"train/0002": "damaged"})

    def remove() -> None:
        path = bench.root / "out" / removed
        path.unlink() if path.is_file() else shutil.rmtree(path)

    _before_the_last(monkeypatch, remove)
    with pytest.raises(ConversionStopped, match=r"removed or replaced .*; rerun: what is missing is converted again"):
        bench.convert(**form)
    assert not (bench.root / "out/dataset.json").exists()
    monkeypatch.undo()
    bench.convert(**form)
    bench.convert("whole", **form)
    assert bench.files() == bench.files("whole")


def test_a_run_that_is_stopped_after_its_folder_was_removed_can_be_rerun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write({"train": 6})

    def remove_and_interrupt() -> None:
        shutil.rmtree(bench.root / "out")
        (bench.root / "out/images/train").mkdir(parents=True)  # as a worker does that is at work
        raise KeyboardInterrupt

    _before_the_last(monkeypatch, remove_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.convert()
    monkeypatch.undo()
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_removed_folder_is_noticed_while_items_are_still_converted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write({"train": 40})
    noted: list[bytes] = []

    class Removing(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            for line in super().run(works):
                noted.append(line)
                if len(noted) == 2:
                    shutil.rmtree(bench.root / "out", ignore_errors=True)
                yield line

    monkeypatch.setattr(state, "_LOOKS", 0.0)
    monkeypatch.setattr(run, "LocalExecutor", Removing)
    with pytest.raises(ConversionStopped, match="removed or replaced"):
        bench.convert()
    assert len(noted) == 2


def test_what_a_second_run_made_in_place_of_a_removed_folder_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write({"train": 6})

    def replace() -> None:
        shutil.rmtree(bench.root / "out")
        monkeypatch.undo()
        bench.convert(images=ImageSettings(quality=30))

    _before_the_last(monkeypatch, replace)
    with pytest.raises(ConversionStopped, match="removed or replaced"):
        bench.convert()
    bench.convert("whole", images=ImageSettings(quality=30))
    assert bench.files() == bench.files("whole")


def test_a_damaged_header_is_one_line_and_restart_starts_over(bench: Bench) -> None:
    bench.write({"train": 4}, {"train/0003": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    header = bench.root / "out" / HEADER
    header.write_bytes(header.read_bytes().replace(b'"limit":null', b'"limit":1234'))
    with pytest.raises(DatasetError, match=r"run\.json: damaged \(wrong checksum\); start over with --restart"):
        bench.convert()
    bench.write_item("train/0003")
    bench.convert(restart=True)
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_header_that_is_no_header_at_all_is_one_line(bench: Bench) -> None:
    bench.write({"train": 1})
    (bench.root / "out/.convert").mkdir(parents=True)
    for damage in (b"", b"[" * 5000, b"{}", b'{"format":3,"header":7}', b"\xff"):
        (bench.root / "out" / HEADER).write_bytes(damage)
        with pytest.raises(DatasetError, match=r"run\.json: .*--restart"):
            bench.convert()


def test_a_record_changed_in_the_journal_is_converted_again(bench: Bench) -> None:
    bench.write({"train": 5}, {"train/0001": "damaged", "train/0004": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert(workers=1)
    journal = bench.root / "out/.convert/journal/000000.jsonl"
    assert b"What colours?" in journal.read_bytes()
    journal.write_bytes(journal.read_bytes().replace(b"What colours?", b"What colors??", 1))
    bench.write_item("train/0004")
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_record_changed_in_a_finished_dataset_is_not_carried_into_a_retry(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0001": "damaged"})
    bench.convert()
    records = bench.root / "out/patches_train.jsonl"
    records.write_bytes(records.read_bytes().replace(b"What colours?", b"What colors??", 1))
    with pytest.raises(DatasetError, match=r"patches_train.jsonl: not as dataset.json says"):
        bench.convert(retry_quarantined=True)


def test_an_image_lost_from_a_finished_dataset_is_made_again_by_a_retry(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0001": "damaged"})
    bench.convert()
    (bench.root / "out/images/train/0002.0.jpg").unlink()
    bench.write_item("train/0001")
    bench.convert(retry_quarantined=True)
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


@pytest.mark.parametrize(
    ("lost", "form"),
    [
        ("images", {}),
        ("images/train/0001.0.jpg", {"shard_size": 20_000}),
        ("shards", {"shard_size": 20_000}),
        ("shards/patches-val-000000.tar", ALONE),
        ("patches_train.jsonl", ALONE),
    ],
)
def test_what_is_missing_from_a_finished_dataset_is_converted_again(
    bench: Bench, form: dict[str, Any], lost: str
) -> None:
    bench.write({"train": 4, "val": 2}, {"train/0002": "damaged", "val/0001": "bug"})
    bench.convert(**form)
    shutil.copytree(bench.root / "out", bench.root / "whole")
    path = bench.root / "out" / lost
    path.unlink() if path.is_file() else shutil.rmtree(path)
    (bench.input / "val/0001.json").unlink()  # what is quarantined is retried on request alone
    (bench.input / "val/0001.json").touch()
    logged: list[str] = []
    again = convert(bench.request(**form), log=logged.append)
    assert not again.already_complete
    assert logged[0].startswith("missing from the finished dataset: ")
    assert bench.files() == bench.files("whole")
    assert bench.convert(**form).already_complete


def test_an_empty_image_of_a_finished_dataset_is_made_again(bench: Bench) -> None:
    bench.write({"train": 2})
    bench.convert()
    image = bench.root / "out/images/train/0001.0.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"")
    bench.convert()
    assert image.read_bytes() == whole


def test_what_is_missing_is_not_made_by_other_versions_of_the_libraries(bench: Bench) -> None:
    bench.write({"train": 2})
    bench.convert()
    manifest = bench.root / "out/dataset.json"
    manifest.write_text(manifest.read_text().replace('"opencv"', '"opencv-of-old"'))
    (bench.root / "out/images/train/0001.0.jpg").unlink()
    with pytest.raises(UsageError, match=r"a finished dataset with files missing made otherwise \(version of opencv"):
        bench.convert()


def test_a_finished_dataset_whose_records_were_edited_is_not_called_complete(bench: Bench) -> None:
    bench.write({"train": 2})
    bench.convert()
    records = bench.root / "out/patches_train.jsonl"
    records.write_bytes(records.read_bytes().replace(b"What colours?", b"What colors??", 1))
    with pytest.raises(DatasetError, match=r"not as dataset.json says; put it back, keep it with .* --adopt"):
        bench.convert()


@pytest.mark.parametrize(
    ("point", "phase"),
    [
        ("header-half-written", Phase.EMPTY),
        ("header-written", Phase.CLEARING),
        ("journal-created", Phase.CONVERTING),
        ("manifest-half-written", Phase.CONVERTING),
        ("manifest-written", Phase.CONVERTING),
        ("state-half-removed", Phase.FINISHED),
    ],
)
def test_a_kill_leaves_the_phase_of_the_state_table(bench: Bench, point: str, phase: Phase) -> None:
    bench.write({"train": 2})
    assert bench.command(inject=f"{point}:1:kill-all").returncode == -9
    assert state_of(LocalFolder(bench.root / "out")).phase() is phase
    bench.convert()
    assert state_of(LocalFolder(bench.root / "out")).phase() is Phase.FINISHED


def test_a_name_that_only_its_image_is_too_long_for_fails_alike_in_every_run(bench: Bench) -> None:
    name = f"train/{'n' * 246}"  # 251 bytes with .json, 252 with .0.jpg would do; 256 with .hidden.jpg do not
    bench.write_item("train/0000")
    bench.write_item(name, "hide")
    bench.convert()
    bench.convert("again", workers=1)
    assert bench.files() == bench.files("again")
    (line,) = bench.quarantine()
    assert (line["stage"], line["exception"]) == ("write", "ItemError")
    assert line["message"] == f"its image cannot be named '{name}.hidden.jpg' here (File name too long); rename it"


def test_a_source_that_fails_while_it_is_built_is_one_line_with_its_name(bench: Bench) -> None:
    bench.write({"train": 1})
    text = Path(bench.source.rpartition(":")[0]).read_text()
    post_init = "    def __post_init__(self) -> None:\n        sys.exit('no licence')\n\n    def discover"
    (bench.root / "own.py").write_text(text.replace("    def discover", post_init, 1))
    said = r"own.py:Patches failed while it was built: SystemExit: no licence \(own.py, line \d+\)"
    with pytest.raises(UsageError, match=said):
        bench.convert(source=f"{bench.root}/own.py:Patches")


def test_no_message_holds_a_path_or_an_address(bench: Bench) -> None:
    bench.write({"train": 3}, {"train/0001": "own path", "train/0002": "exit"})
    bench.convert()
    failed, exited = bench.quarantine()
    assert failed["message"].startswith("cannot open patches.py (<")
    assert " at 0x..." in failed["message"]
    assert str(Path(__file__).parent.parent) not in failed["message"]
    assert (exited["exception"], exited["message"].partition(" (")[0]) == ("SystemExit", "no licence")


def test_what_a_library_prints_is_logged_with_its_item(bench: Bench) -> None:
    bench.write({"train": 2}, {"train/0001": "print"})
    done = bench.command()
    assert done.stderr == "train/0001.json: printed in its worker: TIFFReadDirectory: Warning, unknown field\n"


def test_a_split_that_none_was_converted_of_is_named_at_the_end(pages: Pages) -> None:
    pages.ask({"page": "back"}, {"page": "missing", "split": "val"})
    summary = pages.bench.convert()
    assert rows(summary) == {"train": (1, 1, 0, 0), "val": (1, 0, 1, 0)}
    assert summary.empty_splits == ("split val is empty: 1 item quarantined, none converted",)


def test_a_disk_without_room_is_refused_before_any_work(bench: Bench) -> None:
    disk = bench.root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        (disk / "full").write_bytes(bytes(15_000))
        bench.write({"train": 1})
        with pytest.raises(OutputError, match=r"disk/out: cannot be written \(No space left on device\)"):
            bench.convert("disk/out")
        assert [path.name for path in disk.iterdir()] == ["full"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
