"""Splits by hash of a key."""

from __future__ import annotations

import unicodedata
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.splits import Ratios, parse_ratios, stratified
from phi3v_data.schema.errors import UsageError


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: not set(name) & set("=,") and name.strip() == name),
        st.integers(1, 20),
        min_size=1,
        max_size=5,
    ),
    st.text(),
)
def test_every_key_gets_one_of_the_splits_and_always_the_same(weights: dict[str, int], key: str) -> None:
    total = sum(weights.values())
    text = ",".join(f"{name}={weight}/{total}" for name, weight in weights.items())
    assert parse_ratios(text).split_of(key) == parse_ratios(text).split_of(key)
    assert parse_ratios(text).split_of(key) in weights


def test_the_split_of_a_key_is_what_it_always_was() -> None:
    # Whoever adds clips to a dataset next year gets the splits of today.
    ratios = parse_ratios("train=0.6,val=0.2,test=0.2")
    assert [ratios.split_of(f"g{number:02d}") for number in (3, 4, 5, 9, 10, 11)] == [
        "train",
        "test",
        "train",
        "test",
        "test",
        "train",
    ]
    assert [ratios.split_of(key) for key in ("dev-850", "dev-851", "")] == ["train", "val", "test"]


def test_the_shares_are_kept_in_the_long_run() -> None:
    ratios = parse_ratios("train=0.7,val=0.2,test=0.1")
    counts = Counter(ratios.split_of(str(number)) for number in range(10_000))
    assert counts["train"] == pytest.approx(7000, abs=200)
    assert counts["val"] == pytest.approx(2000, abs=200)
    assert counts["test"] == pytest.approx(1000, abs=200)


@given(st.text(), st.integers(1, 99), st.integers(1, 99))
def test_a_larger_share_of_the_first_split_takes_no_key_away_from_it(key: str, one: int, other: int) -> None:
    smaller, larger = sorted((one, other))
    of = {part: Ratios((("train", Fraction(part, 100)), ("val", Fraction(100 - part, 100)))) for part in (one, other)}
    if of[smaller].split_of(key) == "train":
        assert of[larger].split_of(key) == "train"


def test_one_name_in_two_unicode_forms_is_one_key() -> None:
    ratios = parse_ratios("a=1/4,b=1/4,c=1/4,d=1/4")
    for name in ("é", "Å", "Café", "한국어", "ế", "ñandú"):
        composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        assert composed != decomposed
        assert ratios.split_of(composed) == ratios.split_of(decomposed)


def test_a_name_that_is_no_unicode_has_a_split() -> None:
    assert parse_ratios("train=1").split_of("\udcff.avi") == "train"


def test_one_split_may_have_everything_and_thirds_are_exact() -> None:
    assert parse_ratios("all=1").split_of("anything") == "all"
    assert parse_ratios(" a = 1/3 , b=1/3,c=1/3").shares == tuple((name, Fraction(1, 3)) for name in "abc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the part ''"),
        ("train", "has the part 'train'"),
        ("train=0.9,val", "has the part 'val'"),
        ("train=0.9,", "has the part ''"),
        ("=1", "has the part '=1'"),
        ("train=most", "has the part 'train=most'"),
        ("train=nan", "has the part 'train=nan'"),
        ("train=1/0", "has the part 'train=1/0'"),
        ("train=1,val=0", "has the part 'val=0'"),
        ("train=1.1,val=-0.1", "has the part 'val=-0.1'"),
        ("train=0.9,val=0.2", "sum to 1.1; expected names and shares that sum to 1"),
        ("train=0.9", "sum to 0.9"),
        ("train=0.5,train=0.5", "names 'train' twice"),
    ],
)
def test_a_ratio_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ratios(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_seed_gives_other_splits_and_none_those_of_the_key_alone() -> None:
    keys = [str(number) for number in range(64)]
    plain, seeded, again = ([parse_ratios("a=1/2,b=1/2", seed).split_of(key) for key in keys] for seed in (0, 1, 1))
    assert seeded == again != plain


@given(st.dictionaries(st.text(max_size=4), st.sampled_from("abc"), max_size=60), st.integers(0, 3))
def test_stratified_splits_meet_the_shares_in_every_class(label_of: dict[str, str], seed: int) -> None:
    ratios = parse_ratios("train=0.7,val=0.2,test=0.1", seed)
    split_of = stratified(ratios, label_of)
    assert split_of.keys() == label_of.keys()
    for label in set(label_of.values()):
        counts = Counter(split_of[key] for key, of in label_of.items() if of == label)
        assert all(
            abs(counts[name] - share * counts.total()) <= (2 if counts.total() < 10 else 1)
            for name, share in ratios.shares
        )
        assert counts.total() < 3 or set(counts) == {"train", "val", "test"}


def test_eight_samples_of_two_classes_leave_one_of_each_for_evaluation() -> None:
    split_of = stratified(parse_ratios("train=0.9,val=0.1"), {f"{label}{n}": label for label in "ab" for n in range(4)})
    assert sorted(key[0] for key, split in split_of.items() if split == "val") == ["a", "b"]
