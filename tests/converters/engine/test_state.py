"""What a conversion finds in its folder when somebody or something else was at it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conversions import Bench, Pages, rows

from phi3v_data.converters.engine import run
from phi3v_data.converters.engine.local import LocalExecutor
from phi3v_data.converters.engine.messages import Work
from phi3v_data.converters.engine.state import HEADER, LocalState, Phase
from phi3v_data.schema.errors import ConversionStopped, DatasetError, OutputError, UsageError
from phi3v_data.storage import LocalFolder


def _before_the_last(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something when the workers have converted everything, and the driver has noted all but the last item."""

    class Acting(LocalExecutor):
        def run(self, works: Iterator[Work]) -> Iterator[bytes]:
            *first, last = super().run(works)
            yield from first
            action()
            yield last

    monkeypatch.setattr(run, "LocalExecutor", Acting)


@pytest.mark.parametrize("form", [{}, {"shard_size": 20_000, "image_files": False}], ids=["files", "shards alone"])
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


def test_a_dataset_folder_removed_during_the_run_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 6})
    _before_the_last(monkeypatch, lambda: shutil.rmtree(bench.root / "out"))
    with pytest.raises(ConversionStopped, match="removed or replaced while the conversion was at work"):
        bench.convert()
    assert not (bench.root / "out/dataset.json").exists()


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
    for damage in (b"", b"[" * 5000, b"{}", b'{"format":2,"header":7}', b"\xff"):
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
    assert LocalState(LocalFolder(bench.root / "out")).phase() is phase
    bench.convert()
    assert LocalState(LocalFolder(bench.root / "out")).phase() is Phase.FINISHED


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
