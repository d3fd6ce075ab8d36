from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import PreTrainedTokenizerFast

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.errors import DatasetError, OutputError, RunError
from phi3v_data.schema.index import Counting, RecordCosts, RecordIndex, costs, record_costs
from phi3v_data.schema.index.counting import Pieces
from phi3v_data.schema.index.facts import ImageFacts
from phi3v_data.schema.index.image_reader import ImageReader
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.prompt import IGNORED
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.rules.validate import find_all
from phi3v_data.schema.shards import Sample as ShardSample
from phi3v_data.schema.shards import ShardWriter, sample_columns
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.phi3v.tiny import tiny_processor

PROCESSOR = tiny_processor()
PROCESSOR.image_processor.num_crops = 6
COUNTING = Counting.of(PROCESSOR)
SIZES = {"wide": (300, 40), "tall": (50, 260), "even": (64, 64)}


_ORIENTATION = 0x0112  # in EXIF


def record(identity: str, *images: str, answer: str = "Yes.") -> Record:
    turns = [Turn(images=list(images), user=f"What is {identity}?", assistant=answer), Turn(user="?", assistant="ü")]
    return Record(id=identity, conversations=turns)


RECORDS = [
    record("both", "wide.png", "tall.jpg"),
    record("none"),
    record("one", "even.png"),
    record("again", "wide.png", "wide.png", answer="No, " * 30),
]


def write(root: Path, records: list[Record] = RECORDS) -> Dataset:
    (root / "images").mkdir(parents=True)
    for name in {name for each in records for name in each.images()}:
        Image.new("RGB", SIZES[Path(name).stem], "white").save(root / "images" / name)
    write_records(LocalFolder(root), "x_train.jsonl", records)
    return open_dataset(str(root))


def in_shards(dataset: Dataset, root: Path, size: int) -> Dataset:
    images = Path(dataset.folder.address) / "images"
    columns = sorted({column for each in dataset.records("train") for column in sample_columns(each)})
    with ShardWriter(LocalFolder(root), "x", "train", size=size, columns=columns) as writer:
        for each in dataset.records("train"):
            writer.add(ShardSample(encode_record(each), [(images / name).read_bytes() for name in each.images()]))
    return open_dataset(f"{root}/shards/x-train-*.tar")


def measured(dataset: Dataset, workers: int | None = None) -> RecordCosts:
    return record_costs(RecordIndex(dataset, "train"), COUNTING, workers)


def rows(of: RecordCosts) -> list[object]:
    everything: list[object] = of.table.to_pylist()
    return everything


def test_tokens_are_as_many_as_training_makes_and_crops_those_that_the_tower_sees(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    found, samples = measured(dataset), SampleSource(RecordIndex(dataset, "train"), PROCESSOR)
    assert len(found) == len(RECORDS)
    for number in range(len(RECORDS)):
        assert found.tokens[number] == len(samples[number].text.input_ids)
        assert found.supervised[number] == sum(label != IGNORED for label in samples[number].text.labels)
        grids = [PROCESSOR.image_processor.crop_grid(*SIZES[Path(name).stem]) for name in RECORDS[number].images()]
        assert found.crops[number] == sum(grid.encoded_crops for grid in grids)
        assert found.sizes(number) == [SIZES[Path(name).stem] for name in RECORDS[number].images()]
    assert found.images.tolist() == [2, 0, 1, 2]
    assert found.faults == {}


def test_a_image_that_is_to_be_turned_costs_what_training_makes_of_it(tmp_path: Path) -> None:
    dataset = write(tmp_path, [record("turned", "tall.jpg")])
    image = Image.new("RGB", SIZES["tall"])
    image.getexif()[_ORIENTATION] = 6
    image.save(tmp_path / "images" / "tall.jpg", exif=image.getexif())
    (size,) = measured(dataset).sizes(0)
    assert size == SIZES["tall"]
    for exact in (False, True):
        sample = SampleSource(RecordIndex(dataset, "train"), PROCESSOR, exact)[0]
        assert measured(dataset).tokens[0] == len(sample.text.input_ids)
        assert [image.grid for image in sample.images] == [PROCESSOR.image_processor.crop_grid(*size)]


@pytest.mark.parametrize("size", [1, 10**9])
def test_shards_cost_what_the_files_cost_and_lie_where_the_index_says(tmp_path: Path, size: int) -> None:
    files = write(tmp_path / "files")
    shards = in_shards(files, tmp_path / "shards", size)
    assert rows(measured(shards)) == rows(measured(files))
    index = RecordIndex(shards, "train")
    assert sum(index.shard_sizes()) == len(index)
    assert [index[number] for number in range(len(index))] == RECORDS
    for number, each in enumerate(RECORDS):
        for which, name in enumerate(each.images()):
            stored = (tmp_path / "files" / "images" / name).read_bytes()
            assert index.open_image(number, each, which).read() == stored
        with pytest.raises(FileNotFoundError):
            index.open_image(number, each, 9)


def test_several_processes_give_the_same_rows_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_CHUNK", 7)
    many = [record(f"r{number}", *["wide.png"] * (number % 3)) for number in range(60)]
    one, two = measured(write(tmp_path / "a", many), 1), measured(write(tmp_path / "b", many), 2)
    assert rows(one) == rows(two)
    assert len(one) == 60


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rows(measured(write(tmp_path)))
    monkeypatch.setattr(costs, "in_order", None)
    assert rows(measured(open_dataset(str(tmp_path)))) == first


def test_images_of_another_size_under_the_same_names_are_measured_again(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    before = measured(dataset)
    for name in ("wide.png", "tall.jpg"):
        Image.new("RGB", (64, 64)).save(tmp_path / "images" / name)
    after = measured(dataset)
    assert [after.sizes(number) for number in range(4)] == [[(64, 64)] * count for count in (2, 0, 1, 2)]
    assert after.tokens[0] != before.tokens[0]
    assert rows(measured(dataset)) == rows(after)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_a_damaged_table_is_made_again(tmp_path: Path, damage: str) -> None:
    dataset = write(tmp_path)
    first = rows(measured(dataset))
    tables = sorted((tmp_path / ".index").glob("train.*.arrow"))
    for path in tables:
        data = bytearray(path.read_bytes())
        if damage == "bit":
            data[len(data) // 2] ^= 1
        # A whole table, but of something else.
        other = next(each for each in tables if each != path)
        damaged = {"cut": bytes(data[:-100]), "bit": bytes(data), "empty": b"", "other": other.read_bytes()}[damage]
        path.write_bytes(damaged)
        assert rows(measured(dataset)) == first
        assert path.read_bytes() != damaged


@pytest.mark.parametrize("shards", [False, True])
def test_training_and_validation_look_at_each_image_once_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: bool
) -> None:
    dataset = write(tmp_path / "files")
    if shards:
        dataset = in_shards(dataset, tmp_path / "shards", 10**9)
    first = rows(measured(dataset))
    looked: list[str] = []
    look = ImageReader._look

    def noted(self: ImageReader, name: str, *rest: Any) -> ImageFacts:
        looked.append(name)
        return look(self, name, *rest)

    monkeypatch.setattr(ImageReader, "_look", noted)
    find_all(dataset)
    assert looked == []
    # The records are measured anew, and their images are known.
    tables = (Path(dataset.folder.address) / ".index").glob("train.*.arrow")
    for path in tables:
        path.unlink()
    monkeypatch.setattr(costs, "_look_again", lambda kept, index, measurer: kept)
    assert rows(measured(dataset)) == first
    assert looked == []


def test_changed_records_are_measured_again(tmp_path: Path) -> None:
    before = measured(write(tmp_path)).tokens.tolist()
    write_records(LocalFolder(tmp_path), "x_train.jsonl", RECORDS[::-1])
    dataset = open_dataset(str(tmp_path))
    assert measured(dataset).tokens.tolist() == before[::-1]
    assert RecordIndex(dataset, "train").ids(range(4)) == [each.id for each in RECORDS[::-1]]


def test_other_crops_are_counted_anew_and_both_are_kept(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    other = tiny_processor()
    few = record_costs(RecordIndex(dataset, "train"), Counting.of(other))
    many = measured(dataset)
    assert few.tokens[0] < many.tokens[0]
    assert len(list((tmp_path / ".index").glob("*costs*.arrow"))) == 2


def test_a_record_that_cannot_be_trained_on_is_marked_and_the_others_are_measured(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    good = measured(dataset).tokens.tolist()
    (tmp_path / "images" / "even.png").write_bytes(b"no image")
    (tmp_path / "images" / "tall.jpg").unlink()
    bad = Record(id="bad", conversations=[Turn(user="<|end|>", assistant="!")])
    with (tmp_path / "x_train.jsonl").open("ab") as stream:
        stream.write(encode_record(bad) + b"\n" + b'{"id": "worse", "conversations": []}\n')
    found = measured(dataset)
    assert list(found.faults) == [0, 2, 4, 5]
    assert found.faults[0] == "image tall.jpg does not exist"
    assert found.faults[2] == "image even.png is not an image"
    assert "special token" in found.faults[4]
    assert "not a record" in found.faults[5]
    assert found.tokens[[1, 3]].tolist() == [good[1], good[3]]
    # Of the record with a missing image, the other image and the text are known.
    assert 0 < found.tokens[0] < good[0]


@pytest.mark.parametrize("header", [b"P6\nx 1\n255\n", b"P6\n4 4\n0\n", b"", b"\x89PNG\r\n\x1a\n"])
def test_a_header_that_pillow_stumbles_over_is_a_fault_like_any_other(tmp_path: Path, header: bytes) -> None:
    dataset = write(tmp_path)
    (tmp_path / "images" / "even.png").write_bytes(header)
    assert list(measured(dataset).faults) == [2]


@pytest.mark.parametrize(("change", "faulty"), [(lambda images: images[:-1], True), (lambda images: images * 2, False)])
def test_a_shards_index_may_know_of_fewer_images_than_a_record_shows_or_of_more(
    tmp_path: Path, change: Callable[[list[object]], list[object]], faulty: bool
) -> None:
    shards = in_shards(write(tmp_path / "files"), tmp_path / "shards", 10**9)
    (index,) = (tmp_path / "shards" / "shards").rglob("*.index.jsonl")
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    rows[2]["images"] = change(rows[2]["images"])
    index.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = measured(shards)
    assert found.faults == ({2: "image even.png is not in the shard's index"} if faulty else {})
    assert found.images[2] == 1


def test_a_failure_that_was_fixed_is_seen_without_measuring_all(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    (tmp_path / "images" / "even.png").rename(tmp_path / "away.png")
    before = measured(dataset)
    assert list(before.faults) == [2]
    assert measured(dataset).faults == before.faults
    (tmp_path / "away.png").rename(tmp_path / "images" / "even.png")
    after = measured(dataset)
    assert after.faults == {}
    assert after.tokens[2] > before.tokens[2]
    assert after.sizes(2) == [(64, 64)]
    assert after.tokens[[0, 1, 3]].tolist() == before.tokens[[0, 1, 3]].tolist()


def test_a_machine_that_fails_is_no_failure_of_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write(tmp_path)

    def fail(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".jpg"):
            raise OSError(errno.EMFILE, "Too many open files", path)
        return opened(path, flags, mode)

    opened = os.open
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(RunError, match=r"could not be built \(too many files are open"):
            measured(dataset)
    assert measured(dataset).faults == {}


def test_a_dataset_whose_images_are_all_missing_is_refused_with_the_first(tmp_path: Path) -> None:
    dataset = write(tmp_path, [RECORDS[0], RECORDS[2]])
    (tmp_path / "images").rename(tmp_path / "away")
    with pytest.raises(DatasetError, match=r"the first 2 records all fail; record both: image wide\.png does not"):
        measured(dataset)


def test_where_the_data_cannot_be_written_to_the_index_is_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write(tmp_path / "data")
    (tmp_path / "data" / ".index").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert measured(dataset).images.tolist() == [2, 0, 1, 2]
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 3


def test_records_without_an_answer_are_known(tmp_path: Path) -> None:
    found = measured(write(tmp_path, [*RECORDS, record("unlabelled", answer="")]))
    assert found.unanswered.tolist() == [4]
    assert found.faults == {}


def test_what_is_too_long_is_told_apart_from_what_is_kept(tmp_path: Path) -> None:
    found = measured(write(tmp_path))
    middle = int(sorted(found.tokens)[1])
    assert found.kept(middle).tolist() == [number for number in range(4) if found.tokens[number] <= middle]
    assert sorted([*found.kept(middle), *found.too_long(middle)]) == [0, 1, 2, 3]


def test_a_split_that_is_called_like_a_path_stays_in_the_folder_of_the_index(tmp_path: Path) -> None:
    dataset = replace(write(tmp_path / "data"), files={"../../out": "x_train.jsonl"})
    assert len(record_costs(RecordIndex(dataset, "../../out"), COUNTING)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert len(list((tmp_path / "data" / ".index").iterdir())) == 4


def test_where_the_index_can_lie_nowhere_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write(tmp_path / "data")
    (tmp_path / "data" / ".index").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "data" / ".index"))
    with pytest.raises(OutputError, match="the index must lie somewhere; set XDG_CACHE_HOME"):
        measured(dataset)


def test_a_full_disk_is_said_and_leaves_no_half_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write(tmp_path)
    index = RecordIndex(dataset, "train")
    before = sorted((tmp_path / ".index").iterdir())

    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OutputError, match="the image facts cannot be written \\(No space left on device"):
            record_costs(index, COUNTING)
    assert sorted((tmp_path / ".index").iterdir()) == before


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    (tmp_path / "x_train.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"a file is missing \(.*x_train\.jsonl\)"):
        measured(dataset)


def test_a_tar_that_was_written_again_is_indexed_again(tmp_path: Path) -> None:
    shards = in_shards(write(tmp_path / "files"), tmp_path / "shards", 10**9)
    before = RecordIndex(shards, "train").digest
    assert RecordIndex(shards, "train").digest == before
    (tar,) = (tmp_path / "shards" / "shards").glob("*.tar")
    os.utime(tar, ns=(0, 0))
    assert RecordIndex(shards, "train").digest != before


SPECIALS = ["<|user|>", "<|end|>", "\n", "<|assistant|>", "<|image|>", " ", "<s>", "Ω", "日本", "\t"]
texts = st.lists(st.sampled_from(SPECIALS) | st.text(max_size=8), max_size=8).map("".join)


@given(texts, st.booleans())
def test_pieces_have_the_ids_that_transformers_gives(text: str, specials: bool) -> None:
    expected = PROCESSOR.tokenizer(text, add_special_tokens=specials)["input_ids"]
    assert _PIECES(text, add_special_tokens=specials)["input_ids"] == expected


_PIECES = Pieces(COUNTING.tokenizer)


@pytest.mark.real_data
def test_pieces_have_the_published_tokenizers_ids(golden: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(golden / "tokenizer")
    # Left over from another use; a count must not be cut short or filled up by it.
    tokenizer("a", truncation=True, max_length=2, padding="max_length")
    pieces = Pieces(Counting.of(type(PROCESSOR)(PROCESSOR.image_processor, tokenizer)).tokenizer)

    @settings(max_examples=200)
    @given(texts, st.booleans())
    def check(text: str, specials: bool) -> None:
        expected = tokenizer(text, add_special_tokens=specials)["input_ids"]
        assert pieces(text, add_special_tokens=specials)["input_ids"] == expected

    check()


def test_what_plans_and_indexes_needs_no_torch() -> None:
    modules = ["trainer.data.plan", "trainer.data.assign", "schema.index", "schema.prompt"]
    code = "; ".join(f"import phi3v_data.{name}" for name in modules)
    heavy = "{'torch', 'transformers'} & set(__import__('sys').modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}; print({heavy})"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
