"""The source nlvr2."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from raw_questions import Raw, as_lines, cell, image, text
from record_meta import meta_of

from phi3v_data.schema.errors import ConversionStopped, InputError, UsageError

ASKED = "\nIs this statement about the two images true? Answer True or False."


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path, "nlvr2")


def row(identifier: str, **changes: Any) -> dict[str, Any]:
    made = {
        "sentence": f"There are {identifier}.",
        "identifier": identifier,
        "label": "True",
        "left_url": "https://example.org/left.jpg",
        "right_url": "https://example.org/right.jpg",
        "writer": "61",
        "validation": {"61": "False"},
        "synset": "beer bottle",
        "query": "some beer bottles38",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def write_published(raw: Raw) -> None:
    raw.write(
        "data/train.json",
        as_lines(
            row("train-10-0-0", directory=3), row("train-10-1-0", label="False"), row("train-10-0-1", label="False")
        ),
    )
    raw.write("data/dev.json", as_lines(row("dev-850-0-0"), row("dev-850-0-1")))
    raw.images(*(f"images/train/3/train-10-{pair}-img{side}.png" for pair in (0, 1) for side in (0, 1)))
    # Many of the published images are JPEG whatever their names say.
    raw.write("dev/dev-850-0-img0.png", image(7, "JPEG"))
    raw.write("dev/dev-850-0-img1.png", image(8))


def test_the_published_layout_converts(raw: Raw) -> None:
    write_published(raw)
    made = raw.convert()
    assert made.counts == {"train": (3, 3, 0), "dev": (2, 2, 0)}
    assert list(made.records) == ["train-10-0-0", "train-10-1-0", "train-10-0-1", "dev-850-0-0", "dev-850-0-1"]
    assert msgspec.to_builtins(made.records["train-10-0-1"]) == {
        "id": "train-10-0-1",
        "source": "nlvr2",
        "conversations": [
            {
                "images": ["train/train-10-0.0.png", "train/train-10-0.1.png"],
                "user": f"There are train-10-0-1.{ASKED}",
                "assistant": "False",
            }
        ],
        "meta": {
            "group": "train-10",
            "pair": "train-10-0",
            "sentence": "train-10--1",
            "label": "False",
            "images": ["images/train/3/train-10-0-img0.png", "images/train/3/train-10-0-img1.png"],
        },
    }


def test_a_pairs_images_are_stored_once_left_before_right_by_what_they_are(raw: Raw) -> None:
    write_published(raw)
    made = raw.convert()
    assert made.images == {
        "dev/dev-850-0.0.jpg": image(7, "JPEG"),
        "dev/dev-850-0.1.png": image(8),
        **{f"train/train-10-{pair}.{side}.png": image(2 * pair + side) for pair in (0, 1) for side in (0, 1)},
    }


@pytest.mark.real_data
def test_the_real_annotations_convert_as_an_independent_count_says(tmp_path: Path, real_data: Path) -> None:
    raw = Raw(tmp_path, "nlvr2")
    lines = (real_data / "nlvr2" / "dev.json").read_bytes()
    raw.write("dev.json", lines)
    rows = {row["identifier"]: row for row in map(json.loads, lines.splitlines())}
    pairs = {identifier.rpartition("-")[0] for identifier in rows}
    for pair in pairs:
        raw.images(f"images/dev/{pair}-img0.png", f"images/dev/{pair}-img1.png")
    made = raw.convert()
    assert made.counts == {"dev": (400, 400, 0)} == {"dev": (len(rows), len(rows), 0)}
    assert made.records.keys() == rows.keys()
    for identifier, record in made.records.items():
        (turn,) = record.conversations
        assert (turn.user, turn.assistant) == (rows[identifier]["sentence"] + ASKED, rows[identifier]["label"])
        assert meta_of(record)["label"] == rows[identifier]["label"]
        assert meta_of(record)["group"] == "-".join(identifier.split("-")[:2])
        assert meta_of(record)["pair"] == "-".join(identifier.split("-")[:3])
    assert Counter(meta_of(record)["label"] for record in made.records.values()) == {"True": 209, "False": 191}
    assert len({meta_of(record)["group"] for record in made.records.values()}) == 62
    assert len(made.images) == 2 * len(pairs) == 2 * 233


def test_all_statements_of_a_pair_become_one_conversation_with_turns_pair(raw: Raw) -> None:
    write_published(raw)
    first, second, third = raw.records(turns="pair")
    assert [record.id for record in (first, second, third)] == ["train-10-0", "train-10-1", "dev-850-0"]
    assert [(len(turn.images), turn.assistant) for turn in first.conversations] == [(2, "True"), (0, "False")]
    # The statements' labels differ, so the conversation has none.
    assert meta_of(first).keys() == {"group", "pair", "images"}
    assert meta_of(second)["label"] == "False"


def test_labels_are_answered_as_the_user_says(raw: Raw) -> None:
    write_published(raw)
    records = raw.records(label=["true=Yes", "FALSE=No"], prompt=["{{ sentence }} Yes or no?"])
    assert [record.conversations[0].assistant for record in records] == ["Yes", "No", "No", "Yes", "Yes"]
    assert records[0].conversations[0].user == "There are train-10-0-0. Yes or no?"
    assert meta_of(records[1])["label"] == "False"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["True"], "the label 'True': expected LABEL=ANSWER"),
        (["True= "], "the label 'True= ': expected LABEL=ANSWER"),
        (["=Yes"], "the label '=Yes': expected LABEL=ANSWER"),
        (["True=Yes", "true=Si"], "the label 'true=Si': 'true' has an answer already"),
    ],
)
def test_a_mapping_that_is_none_is_refused(raw: Raw, labels: list[str], message: str) -> None:
    write_published(raw)
    with pytest.raises(UsageError) as error:
        raw.items(label=labels)
    assert message in str(error.value)


def write_cauldron(raw: Raw) -> None:
    def asked(what: str) -> str:
        return f'The first image is the image on the left. Is "{what}" valid? Answer yes or no.'

    raw.table(
        "nlvr2/train-00000-of-00001.parquet",
        [
            {
                "images": [cell(0), cell(1)],
                "texts": [text(asked(w), a, "NLVR2") for w, a in (("x", "Yes."), ("y", "No."))],
            },
            {"images": [cell(1), cell(0)], "texts": [text(asked("z"), "No.", "NLVR2")]},
        ],
    )


def test_rows_of_the_cauldron_convert(raw: Raw) -> None:
    write_cauldron(raw)
    made = raw.convert()
    assert made.counts == {"train": (3, 3, 0)}
    record = made.records["train-0000000000-1"]
    (turn,) = record.conversations
    assert turn.images == ["train/0000000000.0.png", "train/0000000000.1.png"]
    assert turn.user == 'The first image is the image on the left. Is "y" valid? Answer yes or no.'
    assert turn.assistant == "No."
    assert made.images == {
        "train/0000000000.0.png": image(0),
        "train/0000000000.1.png": image(1),
        "train/0000000001.0.png": image(1),
        "train/0000000001.1.png": image(0),
    }
    first, again, other = made.records.values()
    assert meta_of(first)["pair"] == meta_of(again)["pair"] == meta_of(first)["group"]
    assert meta_of(other)["pair"] != meta_of(first)["pair"]


def test_a_row_of_the_cauldron_is_the_recipes_conversation_with_turns_pair(raw: Raw) -> None:
    write_cauldron(raw)
    first, second = raw.records(turns="pair")
    assert [(len(turn.images), turn.assistant) for turn in first.conversations] == [(2, "Yes."), (0, "No.")]
    assert second.id == "train-0000000001"


# Bad input


def test_bad_rows_are_quarantined_by_file_and_line_and_the_rest_converts(raw: Raw) -> None:
    raw.images("images/dev-850-0-img0.png", "images/dev-850-0-img1.png", "images/dev-850-1-img0.png")
    raw.write(
        "dev.json",
        b"\xef\xbb\xbf"
        + as_lines(
            row("dev-850-0-0"),
            row("dev-850-0-1", sentence=None),
            row("dev-850-1-0"),
            row("dev-850-0-2", label="Maybe"),
            b'{"sentence": "caf\xe9", "identifier": "dev-850-0-3", "label": "True"}',
            b"sentence,identifier,label",
            row("dev-850-0-0", sentence="Twice."),
            row("1572-0"),
            row("dev-850-0-4", label=None),
            row("dev-850-0-5", label=[True]),
            row("dev-850-0-6", sentence="  "),
            row("dev-850-0-7", label="false"),
            row("train-850-0-0"),
        ),
    )
    meme = {"id": 42953, "img": "img/42953.png", "label": 0, "text": "t"}
    raw.write("train.json", as_lines(meme, meme))
    made = raw.convert()
    assert list(made.records) == ["dev-850-0-0", "dev-850-0-7"]
    assert made.counts == {"train": (1, 0, 1), "dev": (13, 2, 11)}
    expected = {
        2: "no 'sentence'; it has: identifier",
        3: "no image dev-850-1-img1.png; put it below the input",
        4: "the label 'Maybe' has no answer; there are: true, false (--label)",
        5: "not UTF-8",
        6: "not valid JSON",
        7: "its id 'dev-850-0-0' is already that of dev.json:1",
        8: "the identifier '1572-0'; expected <split>-<set>-<pair>-<sentence>, as dev-850-0-0",
        9: "no 'label'; it has:",
        10: "the label [True] has no answer",
        11: "'sentence' is empty",
        13: "'train-850-0-0' is of the split train; it has no place in dev",
    }
    for line, message in expected.items():
        assert message in made.quarantine.pop(f"dev.json:{line}")
    assert made.quarantine.pop("train.json").startswith(
        "a file of another data set: its rows have id, img, label, text"
    )
    assert not made.quarantine


def test_it_is_said_which_image_of_a_pair_is_damaged(raw: Raw) -> None:
    raw.images("dev-850-0-img0.png")
    raw.write("dev-850-0-img1.png", b"no image")
    raw.write("dev.json", as_lines(row("dev-850-0-0"), row("dev-850-0-1")))
    with pytest.raises(ConversionStopped, match=r"dev/dev-850-0\.1: no image of a known format"):
        raw.convert()


def test_a_file_in_another_encoding_is_quarantined(raw: Raw) -> None:
    write_published(raw)
    raw.write("data/dev.json", as_lines(row("dev-850-0-0")).decode().encode("utf-16"))
    assert raw.faults() == {"data/dev.json:1": "the file is UTF-16; save it as UTF-8"}
    assert len(raw.records()) == 3


def test_a_row_of_the_cauldron_needs_two_images(raw: Raw) -> None:
    raw.table("train.parquet", [{"images": [cell()], "texts": [text("Valid?", "Yes.", "NLVR2")]}])
    assert raw.faults() == {"train.parquet, row 1": "1 image; expected 2"}


def test_an_input_without_annotations_says_what_was_expected(raw: Raw) -> None:
    raw.images("dev-850-0-img0.png")
    with pytest.raises(InputError, match=r"no annotation file of this data set; expected train\.json, dev\.json or"):
        raw.items()
