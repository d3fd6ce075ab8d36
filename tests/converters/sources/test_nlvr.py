"""The source nlvr."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from raw_questions import Raw, as_lines, image
from record_meta import meta_of

from phi3v_data.schema.errors import InputError, UsageError

ASKED = "\nIs this statement about the image true? Answer True or False."


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path, "nlvr")


def row(identifier: str, **changes: Any) -> dict[str, Any]:
    made = {
        "sentence": f"There is a tower of {identifier}.",
        "label": "true",
        "identifier": identifier,
        "directory": "2",
        "evals": {"r1": "true"},
        "structured_rep": [[], [], []],
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def write_published(raw: Raw, permutations: int = 6) -> None:
    raw.write("train/train.json", as_lines(row("10-0", directory="0"), row("11-0", directory="0")))
    raw.write("dev/dev.json", as_lines(row("1572-0"), row("1572-1", label="false")))
    raw.images(*(f"train/images/0/train-10-0-{number}.png" for number in range(permutations)))
    raw.images(*(f"train/images/0/train-11-0-{number}.png" for number in range(permutations)), first=30)
    raw.images(*(f"dev/images/2/dev-1572-0-{number}.png" for number in range(permutations)), first=10)
    raw.images(*(f"dev/images/2/dev-1572-1-{number}.png" for number in range(permutations)), first=20)


def test_the_published_layout_converts(raw: Raw) -> None:
    write_published(raw)
    made = raw.convert()
    assert made.counts == {"train": (2, 2, 0), "dev": (2, 2, 0)}
    assert list(made.records) == ["train-10-0-0", "train-11-0-0", "dev-1572-0-0", "dev-1572-1-0"]
    assert msgspec.to_builtins(made.records["dev-1572-1-0"]) == {
        "id": "dev-1572-1-0",
        "source": "nlvr",
        "conversations": [
            {
                "images": ["dev/dev-1572-1-0.0.png"],
                "user": f"There is a tower of 1572-1.{ASKED}",
                "assistant": "False",
            }
        ],
        "meta": {"group": "dev-1572", "label": "false", "images": ["dev/images/2/dev-1572-1-0.png"]},
    }
    assert made.images == {
        "train/train-10-0-0.0.png": image(0),
        "train/train-11-0-0.0.png": image(30),
        "dev/dev-1572-0-0.0.png": image(10),
        "dev/dev-1572-1-0.0.png": image(20),
    }


def test_each_permutation_asked_for_is_a_record_with_its_own_image(raw: Raw) -> None:
    write_published(raw)
    made = raw.convert(permutation=[5, 2])
    assert list(made.records)[4:] == [f"dev-1572-{number}-{order}" for number in (0, 1) for order in (5, 2)]
    assert made.images["dev/dev-1572-0-5.0.png"] == image(15)
    assert {meta_of(record)["group"] for record in made.records.values()} == {"train-10", "train-11", "dev-1572"}


@pytest.mark.parametrize("permutation", [[], [6], [-1]])
def test_a_permutation_that_cannot_be_is_refused(raw: Raw, permutation: list[int]) -> None:
    write_published(raw)
    with pytest.raises(UsageError, match="nlvr, option permutation="):
        raw.items(permutation=permutation)


@pytest.mark.real_data
def test_the_real_examples_convert_as_an_independent_count_says(tmp_path: Path, real_data: Path) -> None:
    raw = Raw(tmp_path, "nlvr")
    raw.root = real_data / "nlvr" / "dev"
    rows = {row["identifier"]: row for row in map(json.loads, (raw.root / "dev.json").read_text().splitlines())}
    made = raw.convert()
    assert made.counts == {"dev": (664, 664, 0)} == {"dev": (len(rows), len(rows), 0)}
    assert list(made.records) == [f"dev-{identifier}-0" for identifier in rows]
    for identifier, row in rows.items():
        record = made.records[f"dev-{identifier}-0"]
        (turn,) = record.conversations
        assert (turn.user, turn.assistant.lower()) == (row["sentence"] + ASKED, row["label"])
        assert meta_of(record)["group"] == "dev-" + identifier.split("-")[0]
    labels = Counter(meta_of(record)["label"] for record in made.records.values())
    assert labels == Counter(row["label"] for row in rows.values())
    assert len({meta_of(record)["group"] for record in made.records.values()}) == 178
    assert len(made.images) == 664


# Bad input


def test_bad_rows_are_quarantined_by_file_and_line_and_the_rest_converts(raw: Raw) -> None:
    raw.images("images/2/dev-1-0-0.png", "images/2/dev-2-0-0.png")
    raw.write("images/2/dev-3-0-0.png", b"no image")
    raw.write(
        "dev.json",
        b"\xef\xbb\xbf"
        + as_lines(
            row("1-0"),
            row("1-1"),
            row("1-2", label="yes"),
            row("1-0", sentence="Twice."),
            row("3-0"),
            row("dev-850-0-0"),
            row("1-3", directory=None),
            row("1-4", sentence=""),
            b'{"sentence": "caf\xe9"}',
            b"{",
            row("2-0", label=True),
        ),
    )
    raw.write("test.json", as_lines(*[{"question": "What?", "image": "a.png"}] * 2))
    made = raw.convert()
    assert list(made.records) == ["dev-1-0-0", "dev-2-0-0"]
    expected = {
        "2, permutation 0": "no image images/2/dev-1-1-0.png",
        "3": "the label 'yes' has no answer; there are: true, false (--label)",
        "4": "its id 'dev-1-0-0' is already that of dev.json:1",
        "5": "",
        "6": "the identifier 'dev-850-0-0'; expected <sentence>-<image>, as 1572-0",
        "7": "no 'directory'",
        "8": "'sentence' is empty",
        "9": "not UTF-8",
        "10": "not valid JSON",
    }
    for place, message in expected.items():
        assert message in made.quarantine.pop(f"dev.json:{place}")
    assert made.quarantine.pop("test.json").startswith("a file of another data set: its rows have question, image")
    assert not made.quarantine


def test_a_permutation_that_is_not_there_takes_nothing_from_the_others(raw: Raw) -> None:
    write_published(raw, permutations=1)
    assert sorted(raw.faults(permutation=[0, 3])) == [
        "dev/dev.json:1, permutation 3",
        "dev/dev.json:2, permutation 3",
        "train/train.json:1, permutation 3",
        "train/train.json:2, permutation 3",
    ]
    assert len(raw.records(permutation=[0, 3])) == 4


def test_an_input_without_annotations_says_what_was_expected(raw: Raw) -> None:
    raw.images("dev-1-0-0.png")
    with pytest.raises(InputError, match=r"expected train\.json, dev\.json or test\.json beside images/<directory>/"):
        raw.items()
