from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from colours import colour_records, turn, write_dataset
from tiny_runs import tiny_config

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import DatasetError
from phi3v_data.schema.record import Record
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.data.steady_folder import SteadyFolder
from phi3v_data.trainer.data.training_data import TrainingData
from phi3v_data.trainer.phi3v.tiny import tiny_processor

PROCESSOR = tiny_processor()


def records(lengths: list[int]) -> list[Record]:
    return [Record(id=f"r-{n}", conversations=[turn("a" * length, user="?")]) for n, length in enumerate(lengths)]


def data(tmp_path: Path, of_train: list[Record], **settings: object) -> TrainingData:
    dataset = write_dataset(tmp_path / "data", {"train": of_train})
    return TrainingData([Source(dataset)], tiny_config({f"data.{k}": v for k, v in settings.items()}).data)


def test_records_beyond_the_limit_are_refused_with_their_lengths_and_nothing_is_cut(tmp_path: Path) -> None:
    training = data(tmp_path, records([5, 300, 5, 200]), max_tokens=100)
    wanted = r"split train: records of more than 100 tokens: 2 \(r-1: 3\d\d, r-3: 2\d\d\); .* --too-long drop"
    with pytest.raises(DatasetError, match=wanted):
        training.measure(PROCESSOR)


def test_of_many_too_long_records_twenty_are_named_and_all_are_counted(tmp_path: Path) -> None:
    training = data(tmp_path, records([300] * 25), max_tokens=100)
    with pytest.raises(DatasetError, match=r"100 tokens: 25 \(.*r-19: \d+ and 5 more\)") as refused:
        training.measure(PROCESSOR)
    assert "r-20" not in str(refused.value)


def test_records_beyond_the_limit_are_left_out_on_request_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    training = data(tmp_path, records([5, 300, 5, 200, 5]), max_tokens=100, too_long="drop")
    plan = training.measure(PROCESSOR, said.append).plan(batch_size=3, seed=0)
    assert plan.epoch == 3
    assert sorted(sample.record for sample in plan.step(0)) == [0, 2, 4]
    assert len(said) == 1
    assert said[0].endswith("; left out")


def test_what_is_left_out_is_part_of_what_a_run_is_trained_on(tmp_path: Path) -> None:
    lengths = records([5, 300, 5])
    digests = {
        data(tmp_path, lengths, max_tokens=limit, too_long="drop").measure(PROCESSOR).digest for limit in (100, 1000)
    }
    assert len(digests) == 2


def test_without_a_limit_a_record_is_as_long_as_the_model_takes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="records of more than 4096 tokens: 1 "):
        data(tmp_path, records([5000])).measure(PROCESSOR)


def test_records_without_an_answer_are_refused_by_name(tmp_path: Path) -> None:
    unanswered = [Record(id=f"u-{n}", conversations=[turn("yes"), turn("")]) for n in range(22)]
    wanted = r"split train: records without an answer: 22 \(u-0, .*u-19 and 2 more\); .*another split"
    with pytest.raises(DatasetError, match=wanted):
        data(tmp_path, records([3]) + unanswered).measure(PROCESSOR)


def test_several_datasets_are_mixed_by_weight(tmp_path: Path) -> None:
    sources = [
        Source(write_dataset(tmp_path / name, {"train": colour_records("train", count)}), Fraction(weight))
        for name, count, weight in (("a", 10, 2), ("b", 3, 1))
    ]
    measured = TrainingData(sources, tiny_config().data).measure(PROCESSOR)
    plan = measured.plan(batch_size=3, seed=0)
    drawn = [sample for step in range(10) for sample in plan.step(step)]
    assert [sum(sample.dataset == number for sample in drawn) for number in (0, 1)] == [20, 10]
    sizes = measured.sizes(drawn[:4])
    assert sizes.images.tolist() == [1] * 4
    assert (sizes.tokens > sizes.supervised).all()
    assert (sizes.supervised > 0).all()
    assert measured.ids(drawn[:1])[0].startswith("train-")


def test_data_is_read_from_copies_where_it_lies_on_a_store_or_a_cache_folder_is_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", {"train": colour_records("train", 2)})
    near = TrainingData([Source(dataset)], tiny_config().data)
    assert near.indexes[0].dataset.folder is dataset.folder
    copied = TrainingData([Source(dataset)], tiny_config({"data.cache_folder": str(tmp_path / "cache")}).data)
    assert isinstance(copied.indexes[0].dataset.folder, SteadyFolder)
    assert [copied.indexes[0][number].id for number in range(2)] == ["train-0", "train-1"]
    assert len(list((tmp_path / "cache").glob("*.tar"))) == 1  # the copy of the records


def test_a_dataset_without_the_split_is_refused_unless_it_is_one_file(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"train": records([3]), "val": records([3])})
    both = open_dataset(str(tmp_path))
    with pytest.raises(DatasetError, match="no split 'dev' to train on; there are: train, val"):
        TrainingData([Source(both)], tiny_config({"data.train_split": "dev"}).data)
    one = open_dataset(str(tmp_path / "colours_val.jsonl"))
    assert TrainingData([Source(one)], tiny_config({"data.train_split": "dev"}).data).splits == ["val"]
