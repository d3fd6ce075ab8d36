"""A fixed copy has no errors; what could not be repaired is in quarantine, and the original is untouched."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from chosen import drawing, ids_by_split, in_shards, labelled, tree
from PIL import Image, ImageOps
from validated import validated

from phi3v_data.schema.dataset import datasets_under, open_dataset
from phi3v_data.schema.errors import OutputError, UsageError
from phi3v_data.schema.layout import Quarantined, read_manifest
from phi3v_data.schema.rules.dataset import manifest_example
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.rules.registry import all_rules, codes_for
from phi3v_data.schema.rules.rule import Level
from phi3v_data.schema.rules.settings import Settings
from phi3v_data.schema.rules.targets import open_targets
from phi3v_data.schema.select.fixing import Fixed, fix
from phi3v_data.schema.select.found import is_about_records
from phi3v_data.schema.select.repairs import REPAIRED, NewNames, upright
from phi3v_data.storage import LocalFolder


def fixed(data: Path | str, out: Path | None, level: Level = "pixels", split_by_group: bool = False) -> Fixed:
    settings = Settings(level, codes_for(level), workers=1)
    address = str(data)
    return fix(address, open_dataset(address), settings, str(out) if out else None, split_by_group=split_by_group)


def quarantined(folder: Path) -> list[Quarantined]:
    lines = (folder / "quarantine.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(each, type=Quarantined) for each in lines]


def errors(folder: Path) -> set[str]:
    found = validated(folder, level="pixels")[0]
    return {finding.rule for finding in found if finding.severity == "error" or finding.rule in REPAIRED}


def test_the_rules_that_say_they_are_fixable_are_those_that_are_repaired() -> None:
    assert {code for code, rule in all_rules().items() if rule.fixable} == REPAIRED.keys()


# Examples with settings of their own have no fault without them; drawing the bomb of F210 takes long.
BY_RECORD = [
    code
    for code, rule in all_rules().items()
    if is_about_records(code) and not rule.example("bad").settings and rule.code != "F210"
]


@pytest.mark.parametrize("code", BY_RECORD)
def test_each_fault_of_a_record_is_repaired_or_quarantined_by_its_rule(code: str, tmp_path: Path) -> None:
    rule = all_rules()[code]
    data, out = tmp_path / "data", tmp_path / "out"
    rule.example("bad").write(data)
    before = tree(data)
    found = fixed(data, out)
    assert tree(data) == before
    assert not errors(out) - {"S601", "S602", "S604"}
    step = found.manifest.steps()[-1]
    assert step.read == step.selected + step.quarantined
    if code in REPAIRED:
        assert found.repaired[code] >= 1 or found.quarantined
    elif rule.severity == "error":
        assert code in found.quarantined
        assert {each.exception for each in quarantined(out)} == set(found.quarantined)
    else:
        assert step.quarantined == 0


def many_faults(folder: Path) -> Path:
    lines = [
        line("a", images=["train/a.png"], user="Cafe\u0301?"),
        line("b", images=["train\\b.jpg"]),
        line("c", images=["train/c.jpg"]),
        line("d", images=["no.jpg"]),
        '{"bad',
        line("e", assistant="x\x00y", images=["train/a.png", "train/c.jpg"]),
        line("f", user="<|en\x00d|>"),
        line("g", images=["no.jpg"]),
        line("h", assistant="\x01"),
        line("i", images=["nowhere\\b.jpg"]),
        line("j", images=["k.png"]) + " ",
        line("l", images=["train/a.gif"]),
    ]
    files: dict[str, str | bytes | Drawing] = {"made_train.jsonl": "\ufeff" + "\n".join(lines) + "\n"}
    files |= {"images/train/a.png": Drawing("JPEG"), "images/train/a.jpg": Drawing("JPEG", seed=9)}
    files |= {"images/train/b.jpg": Drawing("JPEG", seed=2, orientation=8), "images/k.png": drawing(5)}
    files |= {"images/train/c.jpg": Drawing("JPEG", orientation=6, seed=3), "images/train/a.gif": Drawing(seed=4)}
    Example(files).write(folder)
    return folder


def test_many_faults_at_once(tmp_path: Path) -> None:
    data, out = many_faults(tmp_path / "data"), tmp_path / "out"
    found = fixed(data, out, "files")
    assert errors(out) == set()
    assert ids_by_split(out) == {"train": ["a", "b", "c", "e", "j", "l"]}
    blamed = {each.id: (each.exception, each.path) for each in quarantined(out)}
    assert blamed == {
        "d": ("F206", "made_train.jsonl:4"),
        "": ("R103", "made_train.jsonl:5"),
        "f": ("T401", "made_train.jsonl:7"),
        "g": ("F206", "made_train.jsonl:8"),
        "h": ("R115", "made_train.jsonl:9"),
        "i": ("F206", "made_train.jsonl:10"),
    }
    assert found.repaired == {"F203": 1, "F211": 3, "P305": 2, "R102": 1, "T404": 1, "T405": 1}
    a, _, _, e, _, gif = open_dataset(str(out)).records("train")
    # Another image is called train/a.jpg already.
    assert list(a.images()) == ["train/a.png.jpg"]
    assert list(e.images()) == ["train/a.png.jpg", "train/c.jpg"]
    assert list(gif.images()) == ["train/a.gif.jpg"]
    assert (a.conversations[0].user, e.conversations[0].assistant) == ("Caf\u00e9?", "xy")
    assert (out / "images" / "train" / "a.png.jpg").read_bytes() == (data / "images" / "train" / "a.png").read_bytes()
    # A record with nothing to repair keeps its bytes, the space at its end included.
    untouched = (data / "made_train.jsonl").read_bytes().splitlines()[10]
    assert untouched in (out / "made_train.jsonl").read_bytes().split(b"\n")


def test_the_same_data_gives_the_same_copy(tmp_path: Path) -> None:
    data = many_faults(tmp_path / "data")
    fixed(data, tmp_path / "one", "files")
    fixed(data, tmp_path / "other", "files")
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


def test_in_place_what_was_there_is_moved_aside_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    data = many_faults(tmp_path / "data")
    before = tree(data)
    first = fixed(data, None, "files")
    assert first.aside == str(tmp_path / "data.before-fix")
    assert tree(Path(first.aside)) == before
    assert errors(data) == set()
    # Nobody takes it for another dataset.
    assert [address for address, _ in open_targets((str(tmp_path),))] == [str(data)]
    assert datasets_under(str(tmp_path)) == [str(data)]
    again = fixed(data, None, "files")
    assert again.aside == str(tmp_path / "data.before-fix-2")
    assert again.repaired == {}
    # What was in quarantine stays listed, and counted.
    assert len(quarantined(data)) == 6
    assert [step.command for step in again.manifest.steps()] == ["validate --fix", "validate --fix"]


def test_what_a_conversion_quarantined_and_skipped_stays_counted(tmp_path: Path) -> None:
    row: dict[str, object] = {"skipped": 3, "discovered": 6}
    manifest_example(line("a"), line("b", user="<|end|>"), row=row, quarantined=1).write(tmp_path / "data")
    failed = Quarantined(id="x", split="train", path="x", stage="open", exception="E", message="m")
    (tmp_path / "data" / "quarantine.jsonl").write_bytes(msgspec.json.encode(failed) + b"\n")
    fixed(tmp_path / "data", tmp_path / "out")
    (found,) = read_manifest(LocalFolder(tmp_path / "out")).splits
    assert (found.discovered, found.written, found.quarantined, found.skipped) == (6, 1, 2, 3)
    assert [each.exception for each in quarantined(tmp_path / "out")] == ["E", "T401"]
    assert errors(tmp_path / "out") == set()


def test_shards_are_fixed_to_shards(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lines = [line("a", images=["a.png"]), line("b", images=["b.png"], user="<|end|>"), line("c", images=["c.png"])]
    files: dict[str, str | bytes | Drawing] = {"made_train.jsonl": "\n".join(lines) + "\n"}
    files |= {
        "images/a.png": Drawing("JPEG"),
        "images/b.png": drawing(1),
        "images/c.png": Drawing("PNG", orientation=3),
    }
    Example(files).write(data)
    found = fixed(in_shards(tmp_path / "tars", data), tmp_path / "out")
    assert errors(tmp_path / "out") == set()
    assert (found.repaired, found.quarantined) == ({"F211": 1, "P305": 1}, {"T401": 1})
    names = [name for record in open_dataset(str(tmp_path / "out")).records("train") for name in record.images()]
    assert names == ["a.jpg", "c.png"]
    assert not (tmp_path / "out" / "images").exists()


def test_split_by_group_ends_what_leaks(tmp_path: Path) -> None:
    files: dict[str, str | bytes | Drawing] = {
        "made_train.jsonl": "".join(line(f"a{n}", meta={"group": f"g{n}"}) + "\n" for n in range(8)),
        "made_val.jsonl": "".join(line(f"b{n}", meta={"group": f"g{n}"}) + "\n" for n in range(2)),
    }
    Example(files).write(tmp_path / "data")
    fixed(tmp_path / "data", tmp_path / "still")
    assert errors(tmp_path / "still") == {"S601"}
    found = fixed(tmp_path / "data", tmp_path / "out", split_by_group=True)
    assert errors(tmp_path / "out") == set()
    assert found.splitting is not None
    assert found.splitting.got == {"train": 8, "val": 2}


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_an_image_is_turned_upright(orientation: int, form: str) -> None:
    # Sides of whole blocks, at half the resolution for colour, too.
    data = Drawing(form, 384, 256, orientation=orientation).encode()
    turned = upright(data)
    with Image.open(io.BytesIO(turned)) as image, Image.open(io.BytesIO(data)) as original:
        assert image.getexif().get(0x0112, 1) == 1
        assert image.format == form
        shown = np.asarray(ImageOps.exif_transpose(original), np.int16)
        assert np.abs(np.asarray(image, np.int16) - shown).max() <= (4 if form == "JPEG" else 0)
    assert upright(turned) == turned


def test_new_names_are_nobody_elses(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", {"train": 1})
    for name in ("0.jpg", "0.png.jpg"):
        (data / "images" / "train" / name).write_bytes(b"")
    names = NewNames(open_dataset(str(data)))
    assert names.name_for("train/0.png", "JPEG") == "train/0.png_.jpg"
    assert names.name_for("train/0.png", "JPEG") == "train/0.png_.jpg"
    assert names.name_for("x.png", "JPEG") == "x.jpg"
    assert names.name_for("x.gif", "JPEG") == "x.gif.jpg"


def test_what_cannot_be_fixed_so_is_one_line(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", {"train": 1})
    with pytest.raises(UsageError, match="--fix copies images, so it must look at them; give --level files or pixels"):
        fixed(data, tmp_path / "out", "records")
    with pytest.raises(OutputError, match="only a dataset folder on this machine is fixed in place; give --out DIR"):
        fixed(data / "made_train.jsonl", None)
    with pytest.raises(OutputError, match="not empty"):
        fixed(data, data)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_findings_that_are_ignored_for_a_path_quarantine_nothing(tmp_path: Path) -> None:
    lines = [line("a", user="<|end|>"), line("b", images=["no.png"])]
    Example({"made_train.jsonl": "\n".join(lines)}).write(tmp_path / "data")
    address = str(tmp_path / "data")
    settings = Settings("files", codes_for("files"), workers=1)
    found = fix(address, open_dataset(address), settings, str(tmp_path / "out"), wanted=lambda finding: False)
    # What cannot be written at all is.
    assert found.quarantined == {"F206": 1}
