"""What is written beside the pages: data, counts, and whose folder it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_dataset import record, write_dataset, write_image

from phi3v_data.cli.main import run_command
from phi3v_data.data_cards.report.dataset_report import ReportOptions, report_dataset
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import OutputError
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder


def data(report: Path, name: str) -> Any:
    """Read a file of data as a page does."""
    (text,) = re.findall(r"^report\.receive\(.*?, (\".*\")\);$", (report / f"data/{name}.js").read_text())
    return json.loads(json.loads(text))


def test_the_summary_counts_what_the_manifest_counts(report: Path) -> None:
    summary = data(report, "summary")
    counts = [
        (split["name"], split["records"], split["discovered"], split["quarantined"]) for split in summary["splits"]
    ]
    assert counts == [("train", 300, 301, 1), ("val", 5, 5, 0)]
    assert summary["near_duplicates"]["pairs"] == 2  # an image that many records show counts once
    assert {rule["rule"]: rule["records"] for rule in summary["rules"]}["F206"] == 1


def test_images_are_referred_to_where_a_page_reaches_them_and_copied_where_it_does_not(
    report: Path, dataset: Path, tmp_path: Path
) -> None:
    assert data(report, "summary")["images"] == "../shapes/images"
    assert not (report / "data/images").exists()
    out = tmp_path / "copied"
    report_dataset(open_dataset(str(dataset)), str(out), ReportOptions(copy_images=True, model_pixels=0))
    assert len(list((out / "data/images").iterdir())) == 8
    assert not (out / "data/model").exists()


def test_a_dataset_in_shards_alone_is_shown_with_its_images(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 1)
    shown = record("train-0", ["train/a.jpg"], "Which?", "one")
    with ShardWriter(LocalFolder(tmp_path / "d"), "x", "train", size=10**6, columns=["0.jpg"]) as writer:
        writer.add(Sample(json_bytes(shown), [(tmp_path / "a.jpg").read_bytes()]))
    out = tmp_path / "report"
    report_dataset(open_dataset(str(tmp_path / "d/shards/x-train-*.tar")), str(out), ReportOptions())
    assert data(out, "summary")["images"] is None
    ((_, width, height, _, _, failure, copied, _),) = data(out, "records/0-0")["records"][0]["images"]
    assert (width, height, failure) == (320, 240, "")
    assert (out / copied).read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_a_folder_with_other_files_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"thesis\.txt.*choose another --out"):
        report_dataset(open_dataset(str(dataset)), str(tmp_path), ReportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_command_writes_over_an_earlier_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(Path("d/images/a.jpg"), 1)
    write_dataset(Path("d"), {"train": [record("a", ["a.jpg"], "Which?", "one")]})
    Path("report/data").mkdir(parents=True)
    Path("report/report.json").write_text("{}")
    Path("report/data/old.js").write_text("")
    assert run_command(["report", "d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 1
    assert not Path("report/data/old.js").exists()
    assert run_command(["report", "d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "records: 1"
    assert lines[-1].startswith("open file:///")


def json_bytes(shown: Any) -> bytes:
    from phi3v_data.schema.record import encode_record

    return encode_record(shown)
