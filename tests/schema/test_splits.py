from __future__ import annotations

import pytest

from phi3v_data.schema.splits import file_stem, split_name, split_of_file


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_the_names_of_the_validation_split_are_val(name: str) -> None:
    assert split_name(name) == "val"


@pytest.mark.parametrize("name", ["train", "dev", "dev_seen", "test", "test1", "unlisted", "evaluation", "Train"])
def test_every_other_name_stays(name: str) -> None:
    assert split_name(name) == name


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.jsonl", "train"),
        ("train-00000-of-00007.parquet", "train"),
        ("validation-00000-of-00001.parquet", "val"),
        ("data/valid-00003-of-00010-abcdef.parquet", "val"),
        ("qa_val.jsonl", "val"),
        ("val_v1.0_withQT.json", "val"),
        ("hateful-memes_dev_seen.jsonl", "dev_seen"),
        ("test_unseen.jsonl", "test_unseen"),
        ("nlvr2_test1.jsonl", "test1"),
        ("shards/docvqa-val-000003.tar", "val"),
        ("Test.CSV", "test"),
        ("test/rows.csv", "test"),
        ("raw/validation/part/rows.csv", "val"),
        ("train/rows_val.csv", "val"),
        ("train-a.json", "train"),
    ],
)
def test_a_file_belongs_to_the_split_that_its_path_names(path: str, split: str) -> None:
    assert split_of_file(path, default="none") == split


@pytest.mark.parametrize(
    "path", ["mix665k.json", "training.json", "contest.csv", "values-00001.parquet", "latest/a.csv"]
)
def test_a_split_is_named_by_a_whole_word_alone(path: str) -> None:
    assert split_of_file(path, default="none") == "none"
    assert split_of_file(path) == "train"


def test_the_stem_of_a_file_has_no_shard_number() -> None:
    assert file_stem("a/mix-00000-of-00007.parquet") == "mix"
    assert file_stem("docvqa-extra-000012.tar") == "docvqa-extra"
    assert file_stem("rows-7.csv") == "rows-7"
