"""What is selected is what was read, byte for byte; what is left out is listed; and nothing is lost in between."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from chosen import choose, ids_by_split, in_shards, labelled, left_out, records, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from validated import validated

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import DatasetError, OutputError, RecordError, RunError, UsageError
from phi3v_data.schema.layout import Manifest, read_manifest
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.select.selection import Selection
from phi3v_data.schema.select.writing import DatasetWriter
from phi3v_data.storage import LocalFolder


def manifest_of(folder: Path) -> Manifest:
    return read_manifest(LocalFolder(folder))


def conserved(folder: Path) -> bool:
    manifest = manifest_of(folder)
    steps = manifest.steps()
    return all(row.discovered == row.written + row.quarantined + row.skipped for row in manifest.splits) and all(
        step.read == step.selected + step.quarantined + sum(step.left_out.values()) for step in steps
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("data") / "mine", {"train": 6, "val": 4})


OPTIONS = st.fixed_dictionaries(
    {
        "keep": st.lists(st.sampled_from(["split=train", "split=val", "label=cat", "source=made"]), max_size=2),
        "drop": st.lists(st.sampled_from(["label=dog", "split=val", "F206", "T"]), max_size=2),
        "where": st.lists(st.sampled_from(["len(answer) == 3", "label != 'cat'", "id != 'val-1'"]), max_size=1),
        "sample": st.sampled_from([None, "50%", "2"]),
        "stratify": st.booleans(),
        "seed": st.integers(0, 3),
    }
)


@given(OPTIONS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_for_selected_and_left_out_are_what_was_read(
    data: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    try:
        selected = choose(out, data, selection=msgspec.convert(options, Selection))
    except UsageError:
        assert not out.exists()
        return
    kept = [identity for ids in ids_by_split(out).values() for identity in ids]
    dropped = [each.id for each in left_out(out)] if selected.left_out else []
    everything = [identity for ids in ids_by_split(data).values() for identity in ids]
    assert sorted(kept + dropped) == sorted(everything)
    assert selected.read == len(everything)
    assert conserved(out)
    lines = {each for path in data.glob("*.jsonl") for each in path.read_bytes().splitlines()}
    assert all(each in lines for path in out.glob("made_*.jsonl") for each in path.read_bytes().splitlines())


def test_a_selection_is_clean_and_the_same_options_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    selection = Selection(drop=["label=dog"], sample="3", seed=7)
    for name in ("one", "other"):
        choose(tmp_path / name, data, selection=selection)
    assert tree(tmp_path / "one") == tree(tmp_path / "other")
    assert not [finding for finding in validated(tmp_path / "one")[0] if finding.severity == "error"]
    linked = Selection(drop=["label=dog"], sample="3", seed=7, images="link")
    choose(tmp_path / "linked", data, selection=linked)
    assert tree(tmp_path / "linked") == tree(tmp_path / "one")
    name = next(iter(records(tmp_path / "linked")["train"])).conversations[0].images[0]
    assert (tmp_path / "linked" / "images" / name).samefile(data / "images" / name)
    assert not (tmp_path / "one" / "images" / name).samefile(data / "images" / name)


def test_the_history_tells_every_command(data: Path, tmp_path: Path) -> None:
    choose(tmp_path / "one", data, selection=Selection(keep=["split=train"]))
    choose(tmp_path / "two", tmp_path / "one", selection=Selection(where=["label == 'cat'"]))
    first, second = manifest_of(tmp_path / "two").steps()
    assert (first.command, first.options, first.read, first.selected) == ("select", {"keep": ["split=train"]}, 10, 6)
    assert first.left_out == {"--keep split": 4}
    assert (second.inputs[0].name, second.read, second.left_out) == ("one", 6, {"--where label == 'cat'": 3})
    assert second.inputs[0].digest == open_dataset(str(tmp_path / "one")).digest()


def test_joined_datasets_keep_ids_and_images_apart(data: Path, tmp_path: Path) -> None:
    other = labelled(tmp_path / "b" / "mine", {"train": 3})
    choose(tmp_path / "out", data, other)
    found = ids_by_split(tmp_path / "out")
    assert found["train"][:1] + found["train"][6:7] == ["mine/train-0", "mine-2/train-0"]
    assert len({identity for ids in found.values() for identity in ids}) == 13
    for source, name in ((data, "mine"), (other, "mine-2")):
        copied = (tmp_path / "out" / "images" / name / "train" / "0.png").read_bytes()
        assert copied == (source / "images" / "train" / "0.png").read_bytes()
    assert [each.records for each in manifest_of(tmp_path / "out").steps()[-1].inputs] == [10, 3]
    assert "R113" not in {finding.rule for finding in validated(tmp_path / "out")[0]}


def test_shards_in_shards_out(data: Path, tmp_path: Path) -> None:
    address = in_shards(tmp_path / "tars", data)
    choose(tmp_path / "out", address, selection=Selection(keep=["split=train"], where=["label == 'cat'"]))
    dataset = open_dataset(str(tmp_path / "out"))
    assert not (tmp_path / "out" / "images").exists()
    found = list(dataset.records("train"))
    assert [record.id for record in found] == ["train-0", "train-2", "train-4"]
    for record in found:
        with dataset.images.open(record, 0) as stream:
            assert stream.read() == (data / "images" / record.conversations[0].images[0]).read_bytes()
    assert not [finding for finding in validated(tmp_path / "out")[0] if finding.severity == "error"]


def test_a_rule_drops_every_record_that_shows_a_bad_image(tmp_path: Path) -> None:
    lines = [line("a", images=["bad.jpg"]), line("b", images=["bad.jpg"]), line("c", images=["good.jpg"]), "{"]
    files: dict[str, str | bytes | Drawing] = {"made_train.jsonl": "\n".join(lines)}
    files |= {"images/bad.jpg": Drawing(cut=200), "images/good.jpg": Drawing(seed=1)}
    Example(files).write(tmp_path / "data")
    choose(tmp_path / "out", tmp_path / "data", selection=Selection(drop=["truncated-image", "R103"]))
    assert ids_by_split(tmp_path / "out") == {"train": ["c"]}
    assert Counter(each.reason for each in left_out(tmp_path / "out")) == {"--drop P301": 2, "--drop R103": 1}
    choose(tmp_path / "bad", tmp_path / "data", selection=Selection(keep=["P301"], drop=["R103"]))
    assert ids_by_split(tmp_path / "bad") == {"train": ["a", "b"]}


def test_a_list_of_ids_keeps_or_drops(data: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("train-1\nval-0\n\n")
    choose(tmp_path / "kept", data, selection=Selection(keep=[f"ids={tmp_path}/ids.txt"]))
    assert ids_by_split(tmp_path / "kept") == {"train": ["train-1"], "val": ["val-0"]}
    choose(tmp_path / "rest", data, selection=Selection(drop=[f"ids={tmp_path}/ids.txt"]))
    assert sum(map(len, ids_by_split(tmp_path / "rest").values())) == 8
    assert str(tmp_path) not in (tmp_path / "rest" / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": ["split=tran"]}, r"--keep split=tran: no such split; there are: 'train', 'val'"),
        ({"drop": ["dataset=x"]}, "no such dataset; there are: 'mine'"),
        ({"drop": ["label=cow"]}, "--drop label: no record has the label 'cow'"),
        ({"keep": ["source=x"]}, "no record has the source 'x'"),
        ({"drop": ["colour=red"]}, "expected split=NAME, label=NAME"),
        ({"drop": ["P999"]}, "no rule 'P999'"),
        ({"drop": ["S601"]}, "S601 is not about single records; --split-by group"),
        ({"keep": ["ids=/no/such"]}, r"cannot be read \(No such file or directory\)"),
        ({"where": ["label == 'cow'"]}, "no record is left of 10"),
        ({"sample": "11"}, "more than the 10 records to draw from"),
        ({"sample": "1%"}, "none of 10 records is drawn"),
    ],
)
def test_what_cannot_be_chosen_is_one_line_and_nothing_is_written(
    data: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        choose(tmp_path / "out", data, selection=msgspec.convert(options, Selection))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_taken_or_cannot_be_written_are_refused_before_anything_is_read(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="not a folder; name a folder that is not there yet"):
        choose(tmp_path / "file", data)
    with pytest.raises(OutputError, match="is or lies below a file"):
        choose(tmp_path / "file" / "out", data)
    before = tree(data)
    with pytest.raises(OutputError, match="not empty"):
        choose(data, data)
    assert tree(data) == before
    (tmp_path / "empty").mkdir()
    choose(tmp_path / "empty", data)
    assert conserved(tmp_path / "empty")


def test_a_failure_on_the_way_leaves_nothing_behind(tmp_path: Path) -> None:
    Example({"made_train.jsonl": line("a", images=["no.png"]) + "\n"}).write(tmp_path / "data")
    with pytest.raises(DatasetError, match=r"images/no\.png: does not exist; --drop F"):
        choose(tmp_path / "out", tmp_path / "data")
    Example({"made_train.jsonl": line("a") + "\n{\n"}).write(tmp_path / "data")
    with pytest.raises(RecordError, match=r"made_train\.jsonl, line 2: .*run validate --fix first"):
        choose(tmp_path / "out", tmp_path / "data")
    (tmp_path / "data" / "dataset.json").write_bytes(_manifest_naming("gone.jsonl"))
    with pytest.raises(DatasetError, match=r"gone\.jsonl: no such file of records"):
        choose(tmp_path / "out", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def _manifest_naming(file: str) -> bytes:
    counts = dict.fromkeys(("records", "images", "discovered", "written", "quarantined", "skipped"), 0)
    row = {"split": "train", "file": file, "sha256": "", **counts}
    manifest = {"format_version": 1, "source": "made", "options": {}, "options_digest": "", "decoders": {}}
    return json.dumps({**manifest, "splits": [row]}).encode()


def test_a_record_that_is_lost_on_the_way_is_noticed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(self: object, split: str, left: object) -> None:
        return

    monkeypatch.setattr(DatasetWriter, "leave_out", forget)
    with pytest.raises(RunError, match=r"10 records read, but 5 selected \+ 0 quarantined \+ 0 left out"):
        choose(tmp_path / "out", data, selection=Selection(drop=["label=dog"]))
    assert not (tmp_path / "out").exists()


def test_shards_joined_with_files_become_both(data: Path, tmp_path: Path) -> None:
    choose(tmp_path / "out", in_shards(tmp_path / "tars", data), data)
    dataset = open_dataset(str(tmp_path / "out"))
    (row, _) = manifest_of(tmp_path / "out").splits
    assert len(row.shards) == 1
    for record in dataset.records("train"):
        with dataset.images.open(record, 0) as stream:
            assert stream.read() == (data / "images" / record.conversations[0].images[0].split("/", 1)[1]).read_bytes()
    assert not [finding for finding in validated(tmp_path / "out")[0] if finding.rule.startswith(("D", "F"))]
