"""The source hateful_memes."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from raw_questions import Raw, as_lines, cell, image, text
from record_meta import meta_of

from phi3v_data.schema.errors import InputError, UsageError

ASKED = "Is this meme hateful? Answer Yes or No."


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path, "hateful_memes")


def row(number: int, **changes: Any) -> dict[str, Any]:
    made = {"id": number, "img": f"img/{number:05d}.png", "label": number % 2, "text": f"its character {number}"}
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def write_challenge(raw: Raw) -> None:
    splits = {
        "train": range(8),
        "dev_seen": range(8, 12),
        "dev_unseen": range(10, 14),
        "test_seen": range(14, 16),
        "test_unseen": range(16, 18),
    }
    for split, numbers in splits.items():
        raw.write(f"{split}.jsonl", as_lines(*map(row, numbers)))
    raw.images(*(f"img/{number:05d}.png" for number in range(18)))


def test_the_challenges_layout_converts(raw: Raw) -> None:
    write_challenge(raw)
    made = raw.convert()
    assert made.counts == {
        "train": (8, 8, 0),
        "dev_seen": (4, 4, 0),
        "dev_unseen": (4, 4, 0),
        "test_seen": (2, 2, 0),
        "test_unseen": (2, 2, 0),
    }
    assert msgspec.to_builtins(made.records["train-3"]) == {
        "id": "train-3",
        "source": "hateful_memes",
        "conversations": [{"images": ["img/00003.0.png"], "user": ASKED, "assistant": "Yes"}],
        "meta": {"group": "3", "text": "its character 3", "label": "1", "images": ["img/00003.png"]},
    }
    assert Counter(record.conversations[0].assistant for record in made.records.values()) == {"No": 10, "Yes": 10}
    assert made.images == {f"img/{number:05d}.0.png": image(number) for number in range(18)}


def test_the_captions_are_given_where_they_are_asked_for(raw: Raw) -> None:
    write_challenge(raw)
    assert raw.records(caption=True)[3].conversations[0].user == f'The text on this meme: "its character 3"\n{ASKED}'
    assert raw.records(prompt=["{{ text }}: hateful?"])[3].conversations[0].user == "its character 3: hateful?"
    with pytest.raises(UsageError, match="--caption is for the default prompt"):
        raw.items(caption=True, prompt=["{{ text }}?"])


def test_labels_are_answered_as_the_user_says(raw: Raw) -> None:
    write_challenge(raw)
    records = raw.records(label=["0=benign", "1=hateful"])
    assert [record.conversations[0].assistant for record in records[:2]] == ["benign", "hateful"]
    assert meta_of(records[1])["label"] == "1"


# Duplicates


def test_a_meme_in_two_splits_is_one_group_and_each_record_names_the_other(raw: Raw) -> None:
    write_challenge(raw)
    records = {record.id: meta_of(record) for record in raw.records()}
    assert records["dev_seen-10"]["duplicates"] == ["dev_unseen-10"]
    assert records["dev_unseen-10"]["duplicates"] == ["dev_seen-10"]
    assert records["dev_unseen-10"]["group"] == records["dev_seen-10"]["group"] == "10"
    noted = {name for name, meta in records.items() if "duplicates" in meta}
    assert noted == {f"dev_{kind}-{number}" for kind in ("seen", "unseen") for number in (10, 11)}


def test_a_meme_under_another_id_is_found_by_its_bytes(raw: Raw) -> None:
    write_challenge(raw)
    raw.images("img/00017.png", first=2)
    made = raw.convert()
    records = {name: meta_of(record) for name, record in made.records.items()}
    assert made.records["test_unseen-17"].conversations[0].images == ["img/00002.0.png"]
    assert "img/00017.0.png" not in made.images
    assert records["test_unseen-17"]["images"] == ["img/00017.png"]
    assert records["test_unseen-17"]["duplicates"] == ["train-2"]
    assert records["train-2"]["duplicates"] == ["test_unseen-17"]
    assert records["test_unseen-17"]["group"] == records["train-2"]["group"] == "2"


def test_images_of_one_size_that_differ_are_no_duplicates(raw: Raw) -> None:
    write_challenge(raw)
    assert len({(raw.root / "img" / f"{number:05d}.png").stat().st_size for number in range(18)}) == 1
    assert "duplicates" not in meta_of(raw.records()[0])


def test_how_many_images_are_in_several_splits_is_said_once(raw: Raw, caplog: pytest.LogCaptureFixture) -> None:
    write_challenge(raw)
    raw.images("img/00001.png", first=0)
    with caplog.at_level(logging.WARNING):
        records = raw.records()
    # Within a split, a duplicate is noted, and does not count as one across splits.
    assert meta_of(records[0])["duplicates"] == ["train-1"]
    (said,) = caplog.messages
    assert said.startswith("images in more than one split: 2; meta.duplicates of their records names the others")


# Labels that are not there


def test_rows_of_a_test_split_without_labels_are_records_to_predict_on(raw: Raw) -> None:
    raw.write("test.jsonl", as_lines(row(1, label=None), row(2), row(3) | {"label": None}))
    raw.write("dev.jsonl", as_lines(row(3, label=None)))
    raw.images("img/00001.png", "img/00002.png", "img/00003.png")
    first, second, third = raw.records()
    for record in (first, third):
        assert (record.conversations[0].assistant, record.conversations[0].answers) == ("", UNSET)
        assert "label" not in meta_of(record)
    assert second.conversations[0].assistant == "No"
    assert raw.faults() == {"dev.jsonl:1": "no 'label'; it has: id, img, text"}


# The hub's form


def test_rows_of_the_cauldron_convert(raw: Raw) -> None:
    asked = "Does this meme promote hate speech?\nAnswer yes or no."
    raw.table(
        "hateful_memes/train-00000-of-00007-33e2.parquet",
        [{"images": [cell(n)], "texts": [text(asked, "Yes.", "Hateful Memes")]} for n in (0, 1, 0)],
    )
    made = raw.convert()
    assert made.counts == {"train": (3, 3, 0)}
    (turn,) = made.records["train-0000000001"].conversations
    assert (turn.user, turn.assistant, turn.images) == (asked, "Yes.", ["train/0000000001.0.png"])
    groups = [meta_of(record)["group"] for record in made.records.values()]
    assert groups[0] == groups[2] != groups[1]
    with pytest.raises(UsageError, match="the rows of the_cauldron have no captions; leave out --caption"):
        raw.items(caption=True)


# Bad input


def test_bad_rows_are_quarantined_by_file_and_line_and_the_rest_converts(raw: Raw) -> None:
    raw.images("img/00001.png", "img/00002.png")
    raw.write("img/00003.png", b"")
    raw.write(
        "train.jsonl",
        b"\xef\xbb\xbf"
        + as_lines(
            row(1),
            row(4),
            row(1, text="Twice."),
            row(2, label=7),
            row(2, text=None),
            row(2, label=None),
            b'{"id": 5, "img": "img/00001.png", "label": 0, "text": "caf\xe9"}',
            b'{"id": 6, "img"',
            row(3),
            row(2, img=""),
            row(2, id=[2]),
            row(2),
        ),
    )
    raw.write("dev_seen.jsonl", as_lines({"sentence": "s", "identifier": "1-0"}))
    raw.table("val.parquet", [{"images": [cell()], "texts": [text("Hateful?", "", "Hateful Memes")]}])
    made = raw.convert()
    assert list(made.records) == ["train-1", "train-2"]
    expected = {
        2: "no image img/00004.png; put it below the input",
        3: "its id 'train-1' is already that of train.jsonl:1",
        4: "the label 7 has no answer; there are: 0, 1 (--label)",
        5: "no 'text'; it has: id, img, label",
        6: "no 'label'; it has: id, img, text",
        7: "not UTF-8",
        8: "not valid JSON",
        9: "",
        10: "'img' is empty",
        11: "'id' is [2]; expected a text",
    }
    for line, message in expected.items():
        assert message in made.quarantine.pop(f"train.jsonl:{line}")
    assert made.quarantine.pop("dev_seen.jsonl").startswith(
        "a file of another data set: its rows have sentence, identifier; expected id, img, label, text, or images"
    )
    assert made.quarantine == {"val.parquet, row 1": "'assistant' is empty"}


def test_an_input_without_annotations_says_what_was_expected(raw: Raw) -> None:
    raw.images("img/1.png")
    with pytest.raises(InputError, match=r"no annotation file of this data set; expected train\|dev_seen"):
        raw.items()
