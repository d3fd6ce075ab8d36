"""Repeats and near hashes are exactly those that comparing all with all finds."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.index import near_hashes as near_module
from phi3v_data.schema.index.columns import ColumnFiles, repeats_in
from phi3v_data.schema.index.near_hashes import near_hashes

KEYS = st.integers(0, 30).map(lambda number: number * 0x0842108421084210 % 2**64)


@given(st.lists(KEYS, max_size=60), st.integers(1, 64))
def test_repeats_are_those_of_all_keys_whatever_is_sorted_at_a_time(keys: list[int], at_once: int) -> None:
    rows: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    expected = sorted(each for key, each in rows.items() if key and len(each) > 1)
    found = []
    for repeats in repeats_in(np.array(keys, np.uint64), at_once):
        ends = np.append(repeats.starts, len(repeats.rows))
        found += [repeats.rows[start:end].tolist() for start, end in itertools.pairwise(ends)]
        assert (repeats.firsts() == np.repeat(repeats.rows[repeats.starts], np.diff(ends))).all()
    assert sorted(found) == expected


def test_columns_on_disk_are_what_was_put_in(tmp_path: Path) -> None:
    columns = ColumnFiles(tmp_path, "rows", np.dtype([("a", np.uint64), ("b", np.uint8)]))
    assert len(columns.column("a")) == 0
    for start in (0, 5):
        rows = np.zeros(5, np.dtype([("a", np.uint64), ("b", np.uint8)]))
        rows["a"], rows["b"] = np.arange(start, start + 5), 7
        columns.append(rows)
    assert columns.column("a").tolist() == list(range(10))
    assert columns.column("b").tolist() == [7] * 10
    columns.close()


@pytest.mark.parametrize("bits", [14, 7, 3])
def test_no_near_pair_is_missed_and_none_is_made_up(bits: int) -> None:
    random = np.random.default_rng(bits)
    hashes = random.integers(0, 2**64, 600, np.uint64)
    flips = [sum(1 << int(bit) for bit in random.choice(64, random.integers(0, 20), False)) for _ in range(300)]
    hashes = np.unique(np.concatenate([hashes, hashes[:300] ^ np.array(flips, np.uint64)]))
    near = near_hashes(hashes, hashes, bits)
    expected = np.argwhere(np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= bits)
    assert sorted(zip(near.one.tolist(), near.other.tolist(), strict=True)) == sorted(map(tuple, expected.tolist()))


def test_many_hashes_compared_in_layers_give_the_pairs_that_one_by_one_give(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    # Buckets of many, of few and of none; and hashes that are nothing but what pads a layer, or nearly.
    crowded = random.integers(0, 2**16, 3000, np.uint64) * np.uint64(2**48 + 1)
    hashes = np.concatenate([random.integers(0, 2**64, 140_000, np.uint64), crowded])
    flips = np.uint64(1) << random.integers(0, 64, 20_000, np.uint64)
    extremes = np.array([0, 1, 3, 2**64 - 1, 2**64 - 2, 2**63 - 1], np.uint64)
    hashes = np.unique(np.concatenate([hashes, hashes[:20_000] ^ flips, extremes]))
    layered = near_hashes(hashes[::2], hashes, 4)
    assert len(layered.one) > 90_000
    monkeypatch.setattr(near_module, "_depth", lambda hashes: 0)
    plain = near_hashes(hashes[::2], hashes, 4)
    assert (layered.one == plain.one).all()
    assert (layered.other == plain.other).all()


def test_a_few_hashes_are_compared_with_all() -> None:
    hashes = np.array([0, 1, 2**63, 2**40 - 1], np.uint64)
    near = near_hashes(hashes[:1], hashes)
    assert near.other.tolist() == [0, 1, 2]
