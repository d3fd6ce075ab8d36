"""Samples are of the size that is asked for, in proportion to labels, and grow without losing a record."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.select.sampling import SampleSize, apportioned, drawn, parse_sample_size


@given(st.integers(1, 60), st.integers(0, 5), st.data())
def test_a_larger_sample_holds_the_smaller_one_of_the_same_seed(total: int, seed: int, data: st.DataObject) -> None:
    ids = [f"r{number}" for number in range(total)]
    small, large = sorted((data.draw(st.integers(0, total)), data.draw(st.integers(0, total))))
    one, other = (drawn(range(total), ids, SampleSize(size), seed) for size in (small, large))
    assert len(one) == small
    assert len(other) == large
    assert one <= other


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.data())
def test_a_stratified_sample_has_each_label_in_proportion(labels: list[str], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(labels)))
    ids = [str(number) for number in range(len(labels))]
    chosen = drawn(range(len(labels)), ids, SampleSize(size), 0, labels)
    assert len(chosen) == size
    found, all_labels = Counter(labels[row] for row in chosen), Counter(labels)
    for label, count in all_labels.items():
        assert abs(found[label] - Fraction(count * size, len(labels))) < 1


@given(st.lists(st.fractions(0, 9), min_size=1, max_size=8), st.integers(0, 100))
def test_whole_numbers_sum_to_the_total_and_are_their_share_rounded_up_or_down(
    shares: list[Fraction], total: int
) -> None:
    counts = apportioned(shares, total)
    if sum(shares):
        assert sum(counts) == total
        assert all(abs(count - share * total / sum(shares)) < 1 for count, share in zip(counts, shares, strict=True))


def test_another_seed_draws_others() -> None:
    ids = [str(number) for number in range(100)]
    assert drawn(range(100), ids, SampleSize(20), 0) != drawn(range(100), ids, SampleSize(20), 1)


def test_sizes_are_numbers_or_percentages() -> None:
    assert parse_sample_size("12").of(40) == 12
    assert parse_sample_size("2.5%").of(100) == 3
    assert parse_sample_size("100%").of(7) == 7
    for text in ("0", "-3", "x", "", "0%", "101%", "1/0%", "1.5", "%", "٣"):
        with pytest.raises(UsageError, match="expected a number of records such as 1000"):
            parse_sample_size(text)
    with pytest.raises(UsageError, match="more than the 4 records to draw from"):
        parse_sample_size("5").of(4)
