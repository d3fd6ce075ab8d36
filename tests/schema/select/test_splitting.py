"""What belongs together stays in one split, and the ratio is kept as closely as that allows."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path

import pytest
from chosen import choose, drawing, ids_by_split, in_shards, labelled, records
from hypothesis import given
from hypothesis import strategies as st
from validated import validated

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.select.components import Components
from phi3v_data.schema.select.selection import Selection
from phi3v_data.schema.select.splitting import resplit

SHARES = [("train", Fraction(7, 10)), ("val", Fraction(3, 10))]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=2, max_size=80), st.booleans())
def test_no_set_is_in_two_splits_and_none_is_further_off_than_the_largest(
    records: list[tuple[int, int]], with_shares: bool
) -> None:
    together, firsts = Components(), dict[int, int]()
    for group, _ in records:
        row = together.add()
        together.join(firsts.setdefault(group, row), row)
    rows = range(len(records))
    now = [("train", "val")[split] for _, split in records]
    shares = SHARES if with_shares or len(set(now)) == 1 else None
    found = resplit("group", rows, [str(row) for row in rows], now, [None] * len(records), shares, 0, together)
    of_group: dict[int, set[str]] = {}
    for (group, _), split in zip(records, found.splits, strict=True):
        of_group.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in of_group.values())
    assert sum(found.got.values()) == len(records) == sum(found.wanted.values())
    assert all(abs(found.got[split] - wanted) <= found.largest for split, wanted in found.wanted.items())
    if shares is None:
        before: dict[int, set[str]] = {}
        for (group, _), split in zip(records, now, strict=True):
            before.setdefault(group, set()).add(split)
        assert all(found.splits[row] == now[row] for row in rows if len(before[records[row][0]]) == 1)


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=80))
def test_by_label_each_label_is_divided_by_the_ratio(labels: list[str]) -> None:
    rows = range(len(labels))
    found = resplit("label", rows, [str(row) for row in rows], ["all"] * len(labels), list(labels), SHARES, 0)
    for label in set(labels):
        here = [split for split, each in zip(found.splits, labels, strict=True) if each == label]
        assert abs(here.count("val") - len(here) * Fraction(3, 10)) < 1
    assert abs(found.got["val"] - found.wanted["val"]) < 2


def test_by_ratio_the_splits_are_exact_and_another_seed_divides_otherwise() -> None:
    rows, ids = range(10), [str(row) for row in range(10)]
    one, other = (resplit("ratio", rows, ids, ["all"] * 10, [None] * 10, SHARES, seed) for seed in (0, 1))
    assert one.got == other.got == {"train": 7, "val": 3}
    assert one.splits != other.splits
    assert one.lines()[-1] == "at most 0.0 records off the ratio"


def test_one_split_needs_a_ratio() -> None:
    with pytest.raises(UsageError, match=r"there is one split, all; name others with --ratio train=0\.9,val=0\.1"):
        resplit("ratio", range(3), ["a", "b", "c"], ["all"] * 3, [None] * 3, None, 0)


def leaking(folder: Path) -> Path:
    """Write a dataset that leaks in each of the ways that splitting by group ends, and once through a third record."""
    train = [
        line("a", images=["a.png"], meta={"group": "g1"}),
        line("b", images=["same.png"]),
        line("c", user="Two and two?", assistant="Four."),
        line("d", images=["d.png"], meta={"group": "g2"}),
        *(line(f"t{number}") for number in range(6)),
    ]
    val = [
        line("e", images=["e.png"], meta={"group": "g1"}),
        line("f", images=["same.png"]),
        line("g", user="Two and two?", assistant="Four."),
        line("h", images=["copy.png"], meta={"group": "g3"}),
        line("i", images=["i.png"], meta={"group": "g3"}),
    ]
    files: dict[str, str | bytes | Drawing] = {
        "made_train.jsonl": "\n".join(train) + "\n",
        "made_val.jsonl": "\n".join(val) + "\n",
    }
    seeds = {"a": 1, "same": 2, "d": 3, "e": 4, "copy": 3, "i": 5}
    Example(files | {f"images/{name}.png": drawing(seed) for name, seed in seeds.items()}).write(folder)
    return folder


LEAKS = {"S601", "S602", "S604"}


@pytest.mark.parametrize("form", ["files", "shards"])
def test_data_that_leaks_does_not_after_splitting_by_group(tmp_path: Path, form: str) -> None:
    data = leaking(tmp_path / "data")
    assert {finding.rule for finding in validated(data)[0]} >= LEAKS
    given = in_shards(tmp_path / "tars", data) if form == "shards" else data
    selected = choose(tmp_path / "out", given, selection=Selection(split_by="group"))
    assert selected.splitting is not None
    assert selected.splitting.leaking == 4
    assert not {finding.rule for finding in validated(tmp_path / "out")[0]} & LEAKS
    found = ids_by_split(tmp_path / "out")
    everything = [*"abcdefghi", *(f"t{number}" for number in range(6))]
    assert sorted(identity for ids in found.values() for identity in ids) == sorted(everything)
    # What does not leak stays where it was.
    assert {f"t{number}" for number in range(6)} <= set(found["train"])
    assert any({"d", "h", "i"} <= set(ids) for ids in found.values())


def test_by_label_the_same_options_give_the_same_splits(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", {"train": 12})
    selection = Selection(split_by="label", shares=SHARES, seed=3)
    for name in ("one", "other"):
        choose(tmp_path / name, data, selection=selection)
    assert ids_by_split(tmp_path / "one") == ids_by_split(tmp_path / "other")
    assert {split: len(found) for split, found in records(tmp_path / "one").items()} == {"train": 8, "val": 4}


@pytest.mark.real_data
def test_nlvr2_split_at_random_leaks_and_split_by_group_does_not(real_data: Path, tmp_path: Path) -> None:
    rows = [json.loads(each) for each in (real_data / "nlvr2" / "dev.json").read_text().splitlines()]
    assert len(rows) == 400
    drawn = random.Random(0)
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for row in rows:
        group = "-".join(row["identifier"].split("-")[:2])
        record = line(row["identifier"], user=row["sentence"], assistant=row["label"], meta={"group": group})
        lines["val" if drawn.random() < 0.2 else "train"].append(record)
    data = tmp_path / "data"
    Example({f"nlvr2_{split}.jsonl": "\n".join(each) + "\n" for split, each in lines.items()}).write(data)
    found = [finding for finding in validated(data)[0] if finding.rule == "S601"]
    selected = choose(tmp_path / "out", data, selection=Selection(split_by="group"))
    assert not {finding.rule for finding in validated(tmp_path / "out")[0]} & LEAKS
    splitting = selected.splitting
    assert splitting is not None
    assert splitting.leaking == len(found) == 40
    page = (Path(__file__).parents[3] / "docs" / "select.md").read_text()
    assert "leak in 40 groups" in page
    assert all(f"  {each}\n" in page for each in splitting.lines())
