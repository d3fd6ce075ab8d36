"""Copies across splits are found by the facts that `validate` keeps, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_dataset import record, write_dataset, write_image

from phi3v_data.data_cards.report.near_duplicates import Pair, near_duplicates
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.index.cache import tables_folder
from phi3v_data.schema.index.facts_table import FactsTable, image_key
from phi3v_data.schema.rules.validate import find_all


def pairs_of(folder: Path, images: list[tuple[str, str]]) -> list[Pair]:
    """Pairs among records that show one image each, given as (split, image)."""
    splits = list(dict.fromkeys(split for split, _ in images))
    ordered = sorted(images, key=lambda each: splits.index(each[0]))
    of_split = {
        split: [
            record(f"{split}-{at}", [name], "Which?", f"{split} {at}")
            for at, (s, name) in enumerate(ordered)
            if s == split
        ]
        for split in splits
    }
    write_dataset(folder, of_split)
    dataset = open_dataset(str(folder))
    assert {finding.rule for finding in find_all(dataset, "pixels")} <= {"S604", "S605", "R114", "S603", "P302"}
    facts = FactsTable(tables_folder(dataset.folder))
    keys = [image_key(f"images/{name}") for _, name in ordered]
    return near_duplicates(dataset.folder, facts, keys, [splits.index(split) for split, _ in ordered])


def test_a_copy_that_was_scaled_and_encoded_again_is_found_across_splits_only(tmp_path: Path) -> None:
    for seed in range(12):
        write_image(tmp_path / f"images/{seed}.jpg", seed)
    write_image(tmp_path / "images/copy.jpg", 7, (800, 600), 40)
    write_image(tmp_path / "images/again.jpg", 5, (800, 600), 40)
    train = [("train", f"{seed}.jpg") for seed in range(12)] + [("train", "again.jpg")]
    (pair,) = pairs_of(tmp_path, [*train, ("val", "copy.jpg")])
    assert pair[:2] == (7, 13)
    assert 0 < pair.difference < 3


def test_equal_images_come_first_and_once_however_many_records_show_them(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.jpg", 1)
    write_image(tmp_path / "images/b.jpg", 2)
    write_image(tmp_path / "images/b-near.jpg", 2, (640, 480), 60)
    (tmp_path / "images/a-copy.jpg").write_bytes((tmp_path / "images/a.jpg").read_bytes())
    train = [("train", "a.jpg")] * 20 + [("train", "b.jpg")]
    found = pairs_of(tmp_path, [*train, *[("val", "a-copy.jpg")] * 20, ("val", "b-near.jpg")])
    assert [pair[:2] for pair in found] == [(0, 21), (20, 41)]
    assert found[0].difference == 0 < found[1].difference


def test_without_facts_or_images_there_are_no_pairs(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"train": [record("a", [], "Which?", "one")]})
    folder = open_dataset(str(tmp_path)).folder
    assert near_duplicates(folder, FactsTable(tables_folder(folder)), np.zeros(2, np.uint64).tolist(), [0, 1]) == []
