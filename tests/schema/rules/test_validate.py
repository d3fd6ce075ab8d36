"""A dataset that is clean, and one planted fault after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.rules.report import Report
from phi3v_data.schema.rules.validate import Level, validate


def record(number: int) -> dict[str, Any]:
    turns = [{"images": [f"train/{number}.jpg"], "user": "What?", "assistant": "This."}]
    return {"id": f"train-{number}", "source": "made", "conversations": turns}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as `convert` leaves it: three records, one sample quarantined."""
    lines = "".join(json.dumps(record(number)) + "\n" for number in range(3))
    (tmp_path / "made_train.jsonl").write_text(lines)
    (tmp_path / "quarantine.jsonl").write_text('{"id": "train-3"}\n')
    (tmp_path / "images" / "train").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / "images" / "train" / f"{number}.jpg")
    row = {"split": "train", "file": "made_train.jsonl", "sha256": hashlib.sha256(lines.encode()).hexdigest()}
    row |= {"records": 3, "images": 3, "discovered": 5, "written": 3, "quarantined": 1, "skipped": 1}
    manifest = {"format_version": 1, "source": "made", "options": {}, "options_digest": "", "decoders": {}}
    (tmp_path / "dataset.json").write_text(json.dumps({**manifest, "splits": [row]}))
    return tmp_path


def look(root: Path, level: Level = "files") -> Report:
    return validate(open_dataset(str(root)), level)


def test_what_convert_leaves_is_clean(root: Path) -> None:
    report = look(root)
    assert (report.findings, report.records, report.images) == ([], {"train": 3}, 3)
    assert report.as_text().endswith("clean; records: train 3; images: 3; level: files")


def rewrite(root: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the records, and let the manifest describe them truthfully again."""
    path = root / "made_train.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    text = "".join(json.dumps(each) + "\n" for each in records)
    path.write_text(text)
    images = sum(len(turn.get("images", ())) for each in records for turn in each["conversations"])
    amend(root, sha256=hashlib.sha256(text.encode()).hexdigest(), records=len(records), images=images)


def amend(root: Path, **row: Any) -> None:
    manifest = json.loads((root / "dataset.json").read_text())
    manifest["splits"][0] |= row
    (root / "dataset.json").write_text(json.dumps(manifest))


def no_answer(records: list[dict[str, Any]]) -> None:
    del records[1]["conversations"][0]["assistant"]


def same_id(records: list[dict[str, Any]]) -> None:
    records[2]["id"] = records[0]["id"]


def leaves_the_folder(records: list[dict[str, Any]]) -> None:
    records[0]["conversations"][0]["images"] = ["../secret.jpg"]


@pytest.mark.parametrize(
    ("change", "rule", "line", "message"),
    [
        (no_answer, "record", 2, "missing required field `assistant`"),
        (same_id, "unique-id", 3, "the id was seen before, at made_train.jsonl:1"),
        (leaves_the_folder, "record", 1, "conversations"),
    ],
)
def test_a_planted_fault_in_the_records_is_found_and_named(
    root: Path, change: Callable[[list[dict[str, Any]]], None], rule: str, line: int, message: str
) -> None:
    rewrite(root, change)
    found = [each for each in look(root, "records").findings if each.rule == rule]
    assert [(each.file, each.line, each.severity) for each in found] == [("made_train.jsonl", line, "error")]
    assert message in found[0].message


def test_a_split_without_records_is_a_warning(root: Path) -> None:
    rewrite(root, list.clear)
    amend(root, written=0, discovered=2)
    report = look(root, "records")
    assert [(each.rule, each.severity) for each in report.findings] == [("empty-split", "warning")]


@pytest.mark.parametrize(
    ("row", "rule", "message"),
    [
        ({"sha256": "0" * 64}, "manifest", "its sha256 differs"),
        ({"images": 4}, "manifest", "dataset.json says 3 records, 4 images; found 3 records, 3 images"),
        ({"discovered": 6}, "conservation", "split train: 6 discovered, but 3 written + 1 quarantined + 1 skipped"),
        ({"written": 2, "skipped": 2}, "conservation", "2 written, but 3 records in the file"),
        ({"quarantined": 0, "skipped": 2}, "conservation", "dataset.json counts 0 quarantined samples; 1 are listed"),
    ],
)
def test_a_manifest_that_does_not_tell_the_truth_is_found(
    root: Path, row: dict[str, Any], rule: str, message: str
) -> None:
    amend(root, **row)
    found = look(root, "records").findings
    assert [each.rule for each in found] == [rule]
    assert message in found[0].message


def test_a_image_that_is_missing_empty_or_none_is_found(root: Path) -> None:
    (root / "images" / "train" / "0.jpg").unlink()
    (root / "images" / "train" / "1.jpg").write_bytes(b"")
    (root / "images" / "train" / "2.jpg").write_bytes(b"GIF89a is not enough")
    report = look(root)
    assert [(each.rule, each.line) for each in report.findings] == [("image", 1), ("image", 2), ("image", 3)]
    assert "images/train/0.jpg does not exist" in report.findings[0].message
    assert "is no image" in report.findings[1].message
    assert look(root, "records").findings == []


def test_a_image_that_is_a_folder_is_found(root: Path) -> None:
    (root / "images" / "train" / "0.jpg").unlink()
    (root / "images" / "train" / "0.jpg").mkdir()
    assert ["cannot be read" in each.message for each in look(root).findings] == [True]


def test_a_image_that_no_record_shows_is_a_warning(root: Path) -> None:
    Image.new("RGB", (8, 6)).save(root / "images" / "train" / "left-over.jpg")
    report = look(root)
    assert [(each.rule, each.severity, each.file) for each in report.findings] == [
        ("unshown", "warning", "images/train/left-over.jpg")
    ]
    assert report.errors == 0


def test_the_recipes_folder_without_a_manifest_is_looked_at_as_it_is(root: Path) -> None:
    (root / "dataset.json").unlink()
    (root / "quarantine.jsonl").unlink()
    Image.new("RGB", (8, 6)).save(root / "images" / "someone-elses.jpg")
    assert look(root).findings == []


def test_many_findings_of_one_rule_are_cut_short_and_counted(root: Path) -> None:
    rewrite(root, lambda records: records.extend({**record(9), "id": "train-0"} for _ in range(30)))
    amend(root, written=33, discovered=35)
    text = look(root, "records").as_text(most=5)
    assert text.count("(unique-id)") == 5
    assert "... and 25 more of unique-id" in text


def test_a_report_as_json_holds_every_finding(root: Path) -> None:
    rewrite(root, same_id)
    report = look(root)
    assert json.loads(report.as_json())["findings"][0]["rule"] == "unique-id"


def test_a_header_that_pillow_stumbles_over_is_a_finding_like_any_other(root: Path) -> None:
    (root / "images" / "train" / "1.jpg").write_bytes(b"P6\nx 1\n255\n")
    (finding,) = look(root).findings
    assert (finding.rule, finding.line) == ("image", 2)
    assert "images/train/1.jpg cannot be read" in finding.message
