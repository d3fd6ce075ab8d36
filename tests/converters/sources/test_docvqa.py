"""The source docvqa."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pytest
from msgspec import UNSET
from raw_questions import CAULDRON, IMAGE, Raw, Shown, as_document, as_lines, cell, image, text
from record_meta import meta_of

from phi3v_data.converters.registry import ConverterSpec
from phi3v_data.schema.errors import InputError, MediaError, UsageError

QUERY = pa.struct({"en": pa.string(), "de": pa.string()})
NIELSR = pa.schema(
    {
        "id": pa.string(),
        "image": IMAGE,
        "query": QUERY,
        "answers": pa.list_(pa.string()),
        "words": pa.list_(pa.string()),
    }
)


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path, "docvqa")


def row(number: int, page: str = "a_1", **changes: Any) -> dict[str, Any]:
    document, _, sheet = page.partition("_")
    made = {
        "questionId": number,
        "question": f"What is {number}?",
        "image": f"documents/{page}.png",
        "docId": 7,
        "ucsf_document_id": document,
        "ucsf_document_page_no": sheet,
        "answers": [f"it is {number}"],
        "data_split": "train",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def nielsr(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "id": f"train_{number}",
        "image": cell(number),
        "query": {"en": f"What is {number}?", "de": f"Was ist {number}?"},
        "answers": [f"it is {number}", f"it's {number}"],
        "words": ["not", "carried"],
    }
    return {**made, **changes}


def write_challenge(raw: Raw) -> None:
    raw.write(
        "train_v1.0_withQT.json",
        as_document(row(1), row(2, "b_1"), row(3, "a_2"), row(4, answers=["4", "four", "Four"])),
    )
    raw.write("val_v1.0_withQT.json", as_document(row(11, "c_1"), row(12, "c_1")))
    raw.write("test_v1.0.json", as_document(row(21, "d_1", answers=None)))
    raw.images(*(f"documents/{page}.png" for page in ("a_1", "a_2", "b_1", "c_1", "d_1")))


# The challenge's layout


def test_the_challenges_layout_converts(raw: Raw) -> None:
    write_challenge(raw)
    made = raw.convert()
    assert made.counts == {"train": (4, 4, 0), "val": (2, 2, 0), "test": (1, 1, 0)}
    assert list(made.records) == ["train-1", "train-2", "train-3", "train-4", "val-11", "val-12", "test-21"]
    assert msgspec.to_builtins(made.records["train-3"]) == {
        "id": "train-3",
        "source": "docvqa",
        "conversations": [
            {
                "images": ["documents/a_2.0.png"],
                "user": "What is 3?\nAnswer briefly.",
                "assistant": "it is 3",
                "answers": ["it is 3"],
            }
        ],
        "meta": {"group": "a", "images": ["documents/a_2.png"]},
    }
    assert [meta_of(record)["group"] for record in made.records.values()] == ["a", "b", "a", "a", "c", "c", "d"]
    pages = ("a_1", "a_2", "b_1", "c_1", "d_1")
    assert made.images == {f"documents/{page}.0.png": image(number) for number, page in enumerate(pages)}


def test_questions_without_answers_are_records_to_predict_on(raw: Raw) -> None:
    write_challenge(raw)
    turn = raw.records()[-1].conversations[0]
    assert (turn.assistant, turn.answers) == ("", UNSET)


def test_only_a_test_split_may_have_no_answers(raw: Raw) -> None:
    raw.write("val_v1.0.json", as_document(row(1, answers=None)))
    raw.images("documents/a_1.png")
    assert list(raw.faults().values()) == [
        "no 'answers'; it has: questionId, question, image, docId, ucsf_document_id, ucsf_document_page_no, data_split"
    ]


def test_splits_may_lie_in_folders_of_their_own(raw: Raw) -> None:
    raw.write("train/train_v1.0.json", as_document(row(1)))
    raw.write("val/val_v1.0.json", as_document(row(1)))
    raw.images("train/documents/a_1.png", "val/documents/a_1.png")
    assert [(item.id, item.images) for item in raw.items()] == [
        ("train-1", "train/documents/a_1"),
        ("val-1", "val/documents/a_1"),
    ]


def test_a_page_that_is_not_beside_the_file_is_found_by_its_name(raw: Raw) -> None:
    raw.write("spdocvqa_qas/train_v1.0_withQT.json", as_document(row(1)))
    raw.images("spdocvqa_images/a_1.png")
    assert raw.items()[0].images == "spdocvqa_images/a_1"


@pytest.mark.real_data
def test_the_real_documents_convert_as_an_independent_count_says(tmp_path: Path, real_data: Path) -> None:
    raw = Raw(tmp_path, "docvqa")
    raw.root = real_data / "documents"
    rows = json.loads((raw.root / "val_v1.0_withQT.json").read_text())["data"]
    made = raw.convert()
    assert made.counts == {"val": (8, 8, 0)} == {"val": (len(rows), len(rows), 0)}
    groups = Counter(meta_of(record)["group"] for record in made.records.values())
    assert groups == Counter(row["ucsf_document_id"] for row in rows) == {"linn": 5, "typewriter": 3}
    for row in rows:
        (turn,) = made.records[f"val-{row['questionId']}"].conversations
        assert turn.user == row["question"] + "\nAnswer briefly."
        assert turn.answers == row["answers"]
        assert turn.assistant in row["answers"]
    originals = {f"documents/{path.stem}.0": path.read_bytes() for path in (raw.root / "documents").iterdir()}
    assert {name.rpartition(".")[0] for name in made.images} == set(originals)
    assert len(made.images) == 2


# What is asked and answered


def test_the_answer_most_often_given_is_trained_on(raw: Raw) -> None:
    write_challenge(raw)
    record = next(record for record in raw.records() if record.id == "train-4")
    assert record.conversations[0].assistant in {"four", "Four"}
    assert record.conversations[0].answers == ["4", "four", "Four"]


def test_the_trained_answer_follows_from_seed_and_record_id_alone(raw: Raw) -> None:
    rows = [row(number, answers=["a", "b", "c"]) for number in range(60)]
    raw.write("train_v1.0.json", as_document(*rows))
    raw.images("documents/a_1.png")

    def trained(seed: int) -> dict[str, str]:
        return {record.id: record.conversations[0].assistant for record in raw.records(seed=seed)}

    first = trained(0)
    raw.write("train_v1.0.json", as_document(*rows[::-1]))
    assert trained(0) == first != trained(1)
    assert min(Counter(first.values()).values()) >= 10


def test_prompts_replace_the_recipes_and_are_drawn(raw: Raw) -> None:
    write_challenge(raw)
    raw.table("more/train.parquet", [{"images": [cell()], "texts": [text("Own?\nBe brief.", "Yes.", "DocVQA")]}])
    given = ("Q: {{ question }}", "Please: {{ question }}")
    users = [record.conversations[0].user for record in raw.records(prompt=given)]
    assert {user.partition(":")[0] for user in users} == {"Q", "Please"}
    assert any(user.endswith(": Own?\nBe brief.") for user in users)
    with pytest.raises(UsageError, match="names 'qestion'; this source has: question"):
        raw.items(prompt=["{{ qestion }}"])


# A conversation a page


def test_a_page_becomes_one_conversation_wherever_its_questions_stand(raw: Raw) -> None:
    write_challenge(raw)
    made = raw.convert(turns="document")
    assert made.counts == {"train": (3, 3, 0), "val": (1, 1, 0), "test": (1, 1, 0)}
    assert list(made.records) == ["train-a_1", "train-b_1", "train-a_2", "val-c_1", "test-d_1"]
    turns = made.records["train-a_1"].conversations
    assert [(turn.images, turn.user.partition("\n")[0]) for turn in turns] == [
        (["documents/a_1.0.png"], "What is 1?"),
        ([], "What is 4?"),
    ]
    assert turns[1].answers == ["4", "four", "Four"]
    assert made.records["train-a_1"].meta == {"group": "a", "images": ["documents/a_1.png"]}


def test_a_question_that_stands_twice_is_asked_once_in_a_conversation(raw: Raw) -> None:
    raw.write("train_v1.0.json", as_document(row(1), row(2), row(1, question="Again?"), row(3, question="")))
    raw.images("documents/a_1.png")
    assert raw.faults(turns="document") == {
        "train_v1.0.json:4": "its id 'train-1' is already that of train_v1.0.json:2",
        "train_v1.0.json:5": "'question' is empty",
    }
    (record,) = raw.records(turns="document")
    assert [turn.user.partition("\n")[0] for turn in record.conversations] == ["What is 1?", "What is 2?"]


def test_a_page_of_several_splits_is_a_conversation_in_each(raw: Raw) -> None:
    raw.write("train_v1.0.json", as_document(row(1), row(2)))
    raw.write("test_v1.0.json", as_document(row(3, answers=None)))
    raw.images("documents/a_1.png")
    made = raw.records(turns="document")
    assert [(record.id, len(record.conversations)) for record in made] == [("train-a_1", 2), ("test-a_1", 1)]


# The hub's forms


def write_cauldron(raw: Raw, name: str = "docvqa/train-00000-of-00001-6b0d.parquet") -> None:
    raw.table(
        name,
        [
            {
                "images": [cell(0)],
                "texts": [text("When?\nBe brief.", "May 4.", "DocVQA"), text("Who?\nIn short.", "ITC.", "DocVQA")],
            },
            {"images": [cell(1)], "texts": [text("What?\nQuick.", "Tea.", "DocVQA")]},
            {"images": [cell(0)], "texts": [text("Why?\nQuick.", "Because.", "DocVQA")]},
        ],
    )


@pytest.mark.parametrize("name", ["docvqa/train-00000-of-00001-6b0d.parquet", "train/data-00000-of-00001.arrow"])
def test_a_turn_of_the_cauldron_is_a_record_that_shares_its_rows_image(raw: Raw, name: str) -> None:
    write_cauldron(raw, name)
    made = raw.convert()
    assert made.counts == {"train": (4, 4, 0)}
    assert list(made.records) == [f"train-{row:010d}-{turn}" for row, turn in ((0, 0), (0, 1), (1, 0), (2, 0))]
    record = made.records["train-0000000000-1"]
    (turn,) = record.conversations
    assert (turn.images, turn.user, turn.assistant, turn.answers) == (
        ["train/0000000000.0.png"],
        "Who?\nIn short.",
        "ITC.",
        ["ITC."],
    )
    assert meta_of(record)["row"] == f"{name}, row 1"
    assert made.images == {f"train/{row:010d}.0.png": image(row % 2) for row in range(3)}
    groups = [meta_of(record)["group"] for record in made.records.values()]
    assert groups[0] == groups[1] == groups[3] != groups[2]


def test_a_row_of_the_cauldron_is_one_conversation_with_turns_document(raw: Raw) -> None:
    write_cauldron(raw)
    first, second, third = raw.records(turns="document")
    assert [len(record.conversations) for record in (first, second, third)] == [2, 1, 1]
    assert first.id == "train-0000000000"
    assert [turn.images for turn in first.conversations] == [["train/0000000000.0.png"], []]


def test_rows_of_nielsr_convert(raw: Raw) -> None:
    raw.table("data/train-00000-of-00001.parquet", [nielsr(0), nielsr(1, image=cell(0))], NIELSR)
    raw.table("data/test-00000-of-00001.parquet", [nielsr(5, id="test_5")], NIELSR)
    made = raw.convert()
    assert made.counts == {"train": (2, 2, 0), "test": (1, 1, 0)}
    (turn,) = made.records["test_5"].conversations
    assert turn.user == "What is 5?\nAnswer briefly."
    assert turn.answers == ["it is 5", "it's 5"]
    assert turn.assistant in turn.answers
    groups = {name: meta_of(record)["group"] for name, record in made.records.items()}
    assert groups["train_0"] == groups["train_1"] != groups["test_5"]
    assert raw.records(language="de")[0].conversations[0].user == "Was ist 0?\nAnswer briefly."


def test_rows_of_nielsr_do_not_tell_which_page_they_are_about(raw: Raw) -> None:
    raw.table("data/train.parquet", [nielsr(0)], NIELSR)
    with pytest.raises(UsageError, match="do not say which page they are about; leave out --turns document"):
        raw.items(turns="document")


# Bad input


def test_bad_rows_are_quarantined_by_file_and_line_and_the_rest_converts(raw: Raw) -> None:
    latin = json.dumps(row(5, question="Qu'est-ce?"), ensure_ascii=False).replace("est-ce", "était").encode("latin-1")
    lines: list[dict[str, Any] | bytes] = [
        row(1),
        row(2, question=None),
        row(3, "missing_1"),
        row(4, answers=["4", " "]),
        latin,
        b'{"questionId": 6, "question": }',
        row(1, question="Twice?"),
        b"[7]",
        row(8, question=["What?"]),
        row(9, image="../../outside.png"),
        row(10, answers=[]),
        row(11),
    ]
    raw.write("train_v1.0.json", b"\xef\xbb\xbf" + as_document(*lines))
    raw.write("val_v1.0.json", as_lines({"sentence": "s", "identifier": "dev-850-0-0", "label": "True"}, {"x": 1}))
    raw.table("validation-0.parquet", [{"images": [], "texts": []}], CAULDRON)
    raw.images("documents/a_1.png", "more/sub/page.png")
    made = raw.convert()
    assert list(made.records) == ["train-1", "train-11"]
    assert made.counts["train"] == (12, 2, 10)
    expected = {
        3: "no 'question'; it has: questionId",
        4: "no image documents/missing_1.png; put it below the input",
        5: "answers[1] is empty",
        6: "not UTF-8",
        7: "not valid JSON",
        8: "its id 'train-1' is already that of train_v1.0.json:2",
        9: "not a JSON object",
        10: "'question' is ['What?']; expected a text",
        11: "no image ../../outside.png",
        12: "'answers' is []; expected a list of texts",
    }
    for line, message in expected.items():
        assert message in made.quarantine.pop(f"train_v1.0.json:{line}")
    assert made.quarantine.pop("val_v1.0.json").startswith(
        "a file of another data set: its rows have sentence, identifier, label; expected questionId, question,"
    )
    assert made.quarantine == {"validation-0.parquet, row 1": "0 images; expected 1"}


def test_bad_cells_are_quarantined_by_file_and_row(raw: Raw) -> None:
    good = text("When?", "May 4.", "DocVQA")
    raw.table(
        "train.parquet",
        [
            {"images": [cell(0)], "texts": [good, text("Who?", "", "DocVQA"), text(" ", "x", "DocVQA")]},
            {"images": None, "texts": [good]},
            {"images": [cell(0), cell(1)], "texts": [good]},
            {"images": [cell(0)], "texts": []},
            {"images": [cell(0)], "texts": [text("A chart?", "Yes.", "ChartQA")]},
            {"images": [{"bytes": None, "path": "gone.png"}], "texts": [good]},
            {"images": [{"bytes": b"no image", "path": None}], "texts": [good]},
            {"images": [cell(0)], "texts": [None]},
        ],
    )
    made = raw.convert()
    assert list(made.records) == ["train-0000000000-0"]
    place = "train.parquet, row "
    expected = {
        "1, text 2": "'assistant' is empty",
        "1, text 3": "'user' is empty",
        "2": "no list of images; expected 1",
        "3": "2 images; expected 1",
        "4": "no texts",
        "5, text 1": "a turn of another data set, 'ChartQA'; expected docvqa",
        "6": "no bytes of an image",
        "7": "",
        "8, text 1": "a turn is None; expected user, assistant and source",
    }
    assert made.quarantine.keys() == {place + where for where in expected}
    for where, message in expected.items():
        assert message in made.quarantine[place + where]


def test_bad_rows_of_nielsr_are_quarantined(raw: Raw) -> None:
    bad = [nielsr(1, query=None), nielsr(2, query={"en": None}), nielsr(3, image=None), nielsr(4, answers=[])]
    raw.table("train.parquet", [nielsr(0), *bad], NIELSR)
    assert [failure.partition(";")[0] for failure in raw.faults().values()] == [
        "'query' is None",
        "'en' is None",
        "'image' is empty",
        "'answers' is []",
    ]
    assert [record.id for record in raw.records()] == ["train_0"]
    assert raw.faults(language="fr")["train.parquet, row 1"] == "no 'fr'; it has: en, de"


def test_a_table_of_another_data_set_is_quarantined_whole(raw: Raw) -> None:
    raw.table("train.parquet", [{"prompt": "p"}], pa.schema({"prompt": pa.string()}))
    raw.write("val.parquet", b"PAR1 damaged")
    raw.table("test.parquet", [nielsr(0)], NIELSR)
    faults = raw.faults()
    assert faults["train.parquet"].startswith("a file of another data set: its rows have prompt; expected questionId")
    assert faults["val.parquet"].startswith("val.parquet: not a Parquet file that can be read")
    assert len(raw.records()) == 1


def test_a_file_that_cannot_be_opened_takes_nothing_from_the_others(raw: Raw) -> None:
    write_challenge(raw)
    (raw.root / "val_v1.0_withQT.json").unlink()
    (raw.root / "val_v1.0_withQT.json").symlink_to(raw.root / "nowhere")
    ((place, failure),) = raw.faults().items()
    assert place == "val_v1.0_withQT.json"
    assert "val_v1.0_withQT.json: cannot be read" in failure
    assert [record.id for record in raw.records()] == ["train-1", "train-2", "train-3", "train-4", "test-21"]


def test_a_page_that_is_gone_by_the_time_it_is_read_fails_by_name(raw: Raw) -> None:
    write_challenge(raw)
    made = raw.made()
    first, *_ = made.discover()
    (raw.root / "documents" / "a_1.png").unlink()
    with pytest.raises(MediaError, match=r"documents/a_1\.png: no such image in the input"):
        made.convert(first, Shown())


def test_an_object_store_is_read_as_a_folder_is(raw: Raw) -> None:
    write_challenge(raw)
    write_cauldron(raw)
    store = fsspec.filesystem("memory")
    store.put(f"{raw.root}/", "docvqa-raw/", recursive=True)
    remote = ConverterSpec(source="docvqa", input="memory://docvqa-raw", options={}).build()
    assert [remote.convert(item, Shown()) for item in remote.discover()] == raw.records()


def test_the_form_of_a_file_does_not_hang_on_its_first_row(raw: Raw) -> None:
    raw.write("train_v1.0.json", as_document({"note": "damaged"}, row(1)))
    raw.images("documents/a_1.png")
    assert raw.faults() == {"train_v1.0.json:2": "no 'questionId'; it has: note"}
    assert [item.id for item in raw.items() if not item.failure] == ["train-1"]


def test_a_image_that_may_be_either_of_two_files_is_not_guessed(raw: Raw) -> None:
    raw.write("qas/train_v1.0.json", as_document(row(1)))
    raw.images("large/a_1.png", "small/a_1.png")
    assert raw.faults() == {
        "qas/train_v1.0.json:2": "the image documents/a_1.png may be large/a_1.png or small/a_1.png; "
        "keep one of them below the input"
    }


def test_an_input_without_annotations_says_what_was_expected(raw: Raw) -> None:
    raw.images("documents/a_1.png")
    with pytest.raises(
        InputError, match=r"no annotation file of this data set; expected train\|val\|test_v1\.0"
    ) as error:
        raw.items()
    assert "\n" not in str(error.value)


def test_pages_of_one_group_never_fall_apart(raw: Raw) -> None:
    write_challenge(raw)
    groups = defaultdict(set)
    for record in raw.records():
        groups[meta_of(record)["images"][0].partition("_")[0]].add(meta_of(record)["group"])
    assert all(len(found) == 1 for found in groups.values())
