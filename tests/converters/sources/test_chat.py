"""The source chat: every form of its rows, the rules for what a record has no place for, and bad rows."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from in_process import Converted, convert_here
from PIL import Image

from phi3v_data.cli.main import run_command
from phi3v_data.converters.input.resolve import resolve_input
from phi3v_data.converters.sources.chat import Chat
from phi3v_data.schema.errors import InputError, UsageError
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.storage import open_folder


def image(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


A, B = image(10), image(200)
URI = "data:image/png;base64," + base64.b64encode(A).decode()
Q_AND_A = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw" / "p").mkdir(parents=True)
    (tmp_path / "raw/p/a.png").write_bytes(A)
    (tmp_path / "raw/p/b.png").write_bytes(B)
    return tmp_path / "raw"


def converted(raw: Path, *rows: Any, **options: Any) -> Converted:
    """Convert rows of a file train.jsonl; text stands in it as it is."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (raw / "train.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return convert_here("chat", raw, raw.parent / "out", **options)


def the_record(raw: Path, row: Any, **options: Any) -> Record:
    found = converted(raw, row, **options)
    assert not found.reasons()
    (record,) = found.all()
    return record


def turns(raw: Path, row: Any, **options: Any) -> list[tuple[list[str], str, str]]:
    return [(turn.images, turn.user, turn.assistant) for turn in the_record(raw, row, **options).conversations]


# Forms

SHOWN = [(["p/a.png"], "Q1", "A1"), ([], "Q2", "A2"), (["p/b.png"], "Q3", "A3")]


def parts(*content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]


def url(value: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": value}}


def said(*messages: Any, role: tuple[str, str] = ("user", "assistant")) -> list[dict[str, Any]]:
    names = ("from", "value") if "human" in role else ("role", "content")
    return [{names[0]: role[number % 2], names[1]: content} for number, content in enumerate(messages)]


HUMAN = ("human", "gpt")
MARKED = ("<image>\nQ1", "A1", "Q2", "A2", "Q3\n<image>", "A3")
FORMS: dict[str, dict[str, Any]] = {
    "LLaVA": {"image": ["p/a.png", "p/b.png"], "conversations": said(*MARKED, role=HUMAN)},
    "ShareGPT, conversations": {"images": ["p/a.png", "p/b.png"], "conversations": said(*MARKED, role=HUMAN)},
    "ShareGPT, messages": {"images": ["p/a.png", "p/b.png"], "messages": said(*MARKED)},
    "OpenAI": {
        "messages": said(parts(url("p/a.png"), "Q1"), "A1", "Q2", parts("A2"), parts("Q3", url("./p/b.png")), "A3")
    },
    "OpenAI, the address without an object": {
        "messages": said(
            parts({"type": "image_url", "image_url": "p/a.png"}, "Q1"), "A1", "Q2", "A2",
            parts(url("p/b.png"), "Q3"), "A3",
        )
    },
    "TRL": {
        "images": ["p/a.png", "p/b.png"],
        "messages": said(parts({"type": "image"}, "Q1"), "A1", "Q2", "A2", parts({"type": "image"}, "Q3"), "A3"),
    },
    "TRL, prompt and completion": {
        "images": [{"path": "p/a.png"}, {"path": "p/b.png"}],
        "prompt": said(parts({"type": "image"}, "Q1"), "A1", "Q2", "A2", parts({"type": "image"}, "Q3")),
        "completion": [{"role": "assistant", "content": "A3"}],
    },
    "parts that name their images": {
        "messages": said(
            parts({"type": "image", "image": "p/a.png"}, "Q1"), "A1", "Q2", "A2",
            parts({"type": "image", "path": "p/b.png"}, "Q3"), "A3",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_every_form_becomes_the_same_turns(raw: Path, row: dict[str, Any]) -> None:
    record = the_record(raw, row)
    assert [(turn.images, turn.user, turn.assistant) for turn in record.conversations] == [
        (["train/0000000000.0.png"], "Q1", "A1"),
        ([], "Q2", "A2"),
        (["train/0000000000.1.png"], "Q3", "A3"),
    ]
    assert (record.id, record.source) == ("train-0000000000", "chat")


def test_a_text_alone_is_a_conversation(raw: Path) -> None:
    assert turns(raw, {"messages": said("Q", "A")}) == [([], "Q", "A")]
    assert turns(raw, {"prompt": "Q", "completion": "A"}) == [([], "Q", "A")]


def test_json_arrays_and_json_lines_are_read_alike_and_a_file_is_a_split(raw: Path) -> None:
    rows = [{"conversations": Q_AND_A}, {"messages": said("Q", "B")}]
    (raw / "dev_seen.json").write_text(json.dumps(rows))
    (raw / "train.jsonl").write_text("\ufeff" + "\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = convert_here("chat", raw, raw.parent / "out")
    assert [record.id for record in found.records["dev_seen"]] == ["dev_seen-0000000000", "dev_seen-0000000001"]
    assert [record.id for record in found.records["train"]] == ["train-0000000002", "train-0000000003"]
    assert [r.conversations for r in found.records["train"]] == [r.conversations for r in found.records["dev_seen"]]


def test_files_may_be_named_with_their_splits(raw: Path) -> None:
    (raw / "more").mkdir()
    (raw / "more/mix.json").write_text(json.dumps([{"conversations": Q_AND_A}]))
    found = converted(raw, {"conversations": Q_AND_A}, files=["val=train.jsonl", "more/mix.json"])
    assert {split: len(records) for split, records in found.records.items()} == {"val": 1, "mix": 1}


def test_rows_may_be_split_by_ratio_and_a_image_is_never_parted(raw: Path) -> None:
    rows = [{"image": f"p/{'ab'[number % 2]}.png", "conversations": said(f"<image>{number}", "A", role=HUMAN)}
            for number in range(20)]  # fmt: skip
    found = converted(raw, *rows, split_ratio="one=0.5,two=0.5")
    shown = {
        split: {name for record in records for name in record.images()} for split, records in found.records.items()
    }
    assert sum(map(len, shown.values())) == 2
    grouped = [{**row, "group": "g"} for row in rows]
    assert len(converted(raw, *grouped, split_ratio="one=0.5,two=0.5").records) == 1


# Ids, images, meta


def test_rows_keep_their_ids_or_are_numbered(raw: Path) -> None:
    rows = [{"id": "x", "conversations": Q_AND_A}, {"id": 5, "conversations": Q_AND_A}]
    assert [record.id for record in converted(raw, *rows).all()] == ["x", "5"]
    assert [record.id for record in converted(raw, *rows, ids="number").all()] == [
        f"train-000000000{n}" for n in (0, 1)
    ]


def test_a_image_that_several_rows_show_is_stored_once_under_its_path(raw: Path) -> None:
    row = {"image": "p/a.png", "conversations": said("<image>\nQ", "A", role=HUMAN)}
    found = converted(raw, row, {**row, "image": "images/p/a.png"}, {**row, "image": "./p/a.png"}, row)
    # images/p/a.png is another file, and missing: its place goes to nobody else.
    assert list(found.reasons()) == ["train.jsonl:2"]
    assert [list(record.images()) for record in found.all()] == [["p/a.png"]] * 3
    assert [path.name for path in found.images.rglob("*.png")] == ["a.png"]
    assert (found.images / "p/a.png").read_bytes() == A


def test_images_that_would_share_a_name_are_kept_apart(raw: Path) -> None:
    Image.new("RGB", (4, 3)).save(raw / "p/a.jpg")
    rows = [
        {"image": f"p/{name}", "conversations": said("<image>", "A", role=HUMAN)}
        for name in ("a.png", "a.jpg", "A.png")
    ]
    (raw / "p/A.png").write_bytes(B)
    found = converted(raw, *rows)
    assert [list(record.images()) for record in found.all()] == [
        ["p/a.png"],
        ["train/0000000001.0.jpg"],
        ["train/0000000002.0.png"],
    ]
    assert (found.images / "train/0000000002.0.png").read_bytes() == B


def test_one_image_shown_twice_in_a_conversation_is_stored_once(raw: Path) -> None:
    row = {"images": ["p/a.png"] * 2, "conversations": said("<image>Q", "A", "<image>R", "B", role=HUMAN)}
    assert [shown for shown, _, _ in turns(raw, row)] == [["p/a.png"]] * 2


def test_images_may_stand_in_the_row_itself(raw: Path) -> None:
    found = converted(raw, {"messages": said(parts(url(URI), "Q"), "A")})
    ((name,),) = [list(record.images()) for record in found.all()]
    assert (found.images / name).read_bytes() == A


def test_images_may_stand_in_a_column_as_parquet_files_of_the_hub_have_them(raw: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (raw / "data").mkdir()
    parts_of = [{"type": "image", "text": None}, {"type": "text", "text": "Q"}, {"type": "image", "text": None}]
    asked = [{"role": "user", "content": parts_of}, {"role": "assistant", "content": parts("A")}]
    images = [{"bytes": A, "path": None}, {"bytes": B, "path": "b.png"}]
    rows = pa.Table.from_pylist([{"messages": asked, "images": images}, {"messages": asked, "images": images[:1]}])
    for part in range(2):
        pq.write_table(rows, raw / "data" / f"train-{part:05d}-of-00002.parquet")
    found = convert_here("chat", raw / "data", raw.parent / "out")
    assert [record.conversations[0].images for record in found.records["train"]] == [
        [f"train/{number:010d}.{which}.png" for which in (0, 1)] for number in (0, 2)
    ]
    assert [(found.images / f"train/0000000002.{which}.png").read_bytes() for which in (0, 1)] == [A, B]
    assert list(found.reasons().values()) == ["2 <image> or image parts for 1 image; expected one for each"] * 2


def test_paths_may_start_in_a_folder_of_the_input(raw: Path) -> None:
    row = {"image": "a.png", "conversations": said("<image>Q", "A", role=HUMAN)}
    assert turns(raw, row, image_folder="p") == [(["a.png"], "Q", "A")]


def test_what_else_a_row_holds_becomes_meta(raw: Path) -> None:
    record = the_record(raw, {"id": 1, "conversations": Q_AND_A, "group": "g", "source": "coco", "n": [1, None]})
    assert record.meta == {"group": "g", "source": "coco", "n": [1, None]}
    assert record.source == "chat"
    assert the_record(raw, {"conversations": Q_AND_A}) == Record(
        id="train-0000000000", source="chat", conversations=[Turn(user="Q", assistant="A")]
    )


# Rules


def test_a_system_message_goes_in_front_of_the_first_question(raw: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    row = {"messages": [system, *said("Q", "A", "R", "B")]}
    expected: list[tuple[list[str], str, str]] = [([], "Be brief.\n\nQ", "A"), ([], "R", "B")]
    assert turns(raw, row) == expected
    assert turns(raw, {"system": "Be brief.", "messages": said("Q", "A", "R", "B")}) == expected
    refused = converted(raw, row, {"messages": said("Q", "A")}, system="refuse")
    assert "has a system message; give --system front" in refused.reasons()["train.jsonl:1"]
    assert len(refused.all()) == 1


def test_a_image_in_the_middle_of_a_text_moves_to_the_front_of_its_turn(raw: Path) -> None:
    row = {"image": "p/a.png", "conversations": said("Is <image> red?", "Yes", role=HUMAN)}
    assert turns(raw, row) == [(["p/a.png"], "Is red?", "Yes")]
    refused = converted(raw, row, {**row, "conversations": said("<image>\nRed?", "Yes", role=HUMAN)}, marks="refuse")
    assert "an image is after its text; give --marks front" in refused.reasons()["train.jsonl:1"]
    assert len(refused.all()) == 1


def test_images_that_nobody_marks_are_shown_with_the_first_question(raw: Path) -> None:
    row = {"images": ["p/a.png"], "prompt": said("Q"), "completion": [{"role": "assistant", "content": "A"}]}
    assert turns(raw, row) == [(["p/a.png"], "Q", "A")]
    assert turns(raw, {"image": "p/a.png", "conversations": said("Q", "A", "R", "B", role=HUMAN)}) == [
        (["p/a.png"], "Q", "A"),
        ([], "R", "B"),
    ]


def test_marks_are_words_where_images_are_named_in_parts(raw: Path) -> None:
    assert turns(raw, {"messages": said(parts("What does <image> mean?"), "A <image> tag")}) == [
        ([], "What does <image> mean?", "A <image> tag")
    ]


def test_texts_of_several_parts_are_joined_by_line_ends(raw: Path) -> None:
    assert turns(raw, {"messages": said(parts("Q", "more"), parts("A"))}) == [([], "Q\nmore", "A")]


def test_an_answer_that_is_null_is_one_to_predict(raw: Path) -> None:
    assert turns(raw, {"conversations": said("Q", None, role=HUMAN)}) == [([], "Q", "")]


# Bad rows: each is refused by its file and line, and the rest converts

M = ("<image>\nQ", "A")
BAD = [
    (b'{"conversations": ', "not valid JSON"),
    (b"[1, 2]", "not a JSON object"),
    (b'{"id": "caf\xe9"}', "not UTF-8"),
    ({}, "query and response; there is: nothing"),
    ({"question": "Q", "answers": ["A"]}, "no conversation: expected the key conversations"),
    ({"sentence": "s", "label": "True", "identifier": "dev-1-0-0"}, "there is: sentence, label, identifier"),
    ({"prompt": "Q"}, "no conversation"),
    ({"conversations": []}, "conversations is []; expected a list of messages"),
    ({"conversations": "Q"}, "conversations is 'Q'; expected a list of messages"),
    ({"conversations": [{"images": [], "user": "Q", "assistant": "A"}]}, "message 1 is by None"),
    ({"conversations": ["Q", "A"]}, "message 1 is 'Q'; expected an object"),
    ({"messages": [{"role": "user"}]}, "message 1 has no text: expected the key content or value; there is: role"),
    ({"messages": said("Q", "A", role=("user", "tool"))}, "message 2 is by 'tool'; expected one of human, user"),
    ({"messages": said(5, "A")}, "message 1 is 5; expected a text or a list of parts"),
    ({"messages": said(None, "A")}, "message 1 is None"),
    ({"messages": said(parts({"type": "input_audio"}), "A")}, "has the part {'type': 'input_audio'}; expected"),
    ({"messages": said(parts({"type": "image_url"}), "A")}, "shows {'type': 'image_url'}; expected an image's path"),
    ({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
     "message 2 has tool_calls, for which a record has no place"),
    ({"messages": said("Q")}, "ends without an answer; where none is known, give one that is null"),
    ({"messages": said("Q", "A", "R")}, "ends without an answer"),
    ({"messages": said("A", "Q", role=("assistant", "user"))}, "message 1 is the assistant's; expected the user's"),
    ({"messages": [*said("Q"), *said("R", "A")]}, "message 2 is the user's; expected the assistant's"),
    ({"messages": [*said("Q", "A"), {"role": "system", "content": "s"}]}, "message 3 is the system's"),
    ({"system": "s", "messages": [{"role": "system", "content": "t"}, *said("Q", "A")]},
     "message 1 after the system message is the system's"),
    ({"messages": [{"role": "system", "content": parts(url("p/a.png"))}, *said("Q", "A")]},
     "its system message shows an image"),
    ({"messages": said("Q", "")}, "an answer is empty; null is one not known"),
    ({"messages": said("Q", " \n")}, "an answer is empty"),
    ({"messages": said(" ", "A")}, "a question is blank"),
    ({"messages": said("Q", parts(url("p/a.png"), "A"))}, "an answer shows an image"),
    ({"image": "p/a.png", "conversations": said("Q", "A <image>", role=HUMAN)}, "an answer shows an image"),
    ({"conversations": said(*M, role=HUMAN)}, "1 <image> or image parts for 0 images; expected one for each"),
    ({"images": ["p/a.png", "p/b.png"], "conversations": said(*M, role=HUMAN)}, "1 <image> or image parts for 2"),
    (
        {"image": "p/a.png", "conversations": said("<image><image>Q", "A", role=HUMAN)},
        "2 <image> or image parts for 1 image;",
    ),
    ({"image": "p/a.png", "images": ["p/a.png"], "conversations": said(*M, role=HUMAN)}, "under both image and images"),
    ({"image": 5, "conversations": said(*M, role=HUMAN)}, "image holds 5; expected an image's path or a data: URI"),
    ({"images": [{"bytes": None, "path": None}], "conversations": said(*M, role=HUMAN)}, "images holds {'bytes': None"),
    ({"image": "p/none.png", "conversations": said(*M, role=HUMAN)}, "p/none.png: no such image in "),
    ({"image": "p", "conversations": said(*M, role=HUMAN)}, "p: a folder, not an image"),
    ({"image": "train.jsonl", "conversations": said(*M, role=HUMAN)}, "no image"),
    ({"image": "../secret.png", "conversations": said(*M, role=HUMAN)}, "../secret.png: not a path below the input"),
    ({"image": "/etc/a.png", "conversations": said(*M, role=HUMAN)}, "a.png: not a path below the input"),
    ({"image": "p\\a.png", "conversations": said(*M, role=HUMAN)}, "not a path below the input; expected one such as"),
    ({"image": "https://x.org/a.png", "conversations": said(*M, role=HUMAN)},
     "https://x.org/a.png: images are not fetched; put it below the input, and name its path there"),
    ({"image": "file:///etc/a.png", "conversations": said(*M, role=HUMAN)}, "images are not fetched"),
    ({"messages": said(parts(url("data:image/png,abc"), "Q"), "A")}, "a data: URI that is not base64"),
    ({"messages": said(parts(url("data:image/png;base64,@@@@"), "Q"), "A")}, "damaged base64"),
    ({"messages": said(parts(url("data:image/png;base64,QUJD"), "Q"), "A")}, "no image"),
    ({"id": "", "messages": said("Q", "A")}, "its id is ''; expected a text or a whole number"),
    ({"id": 1.5, "messages": said("Q", "A")}, "its id is 1.5"),
    ({"id": True, "messages": said("Q", "A")}, "its id is True"),
    ({"messages": said("Q", "A"), "phi3v": {"answers": "A"}}, "the key phi3v is not as export-data writes it"),
    ({"messages": said("Q", "A"), "phi3v": {"answers": [["A"], ["B"]]}}, "phi3v.answers are of 2 turns; there are 1"),
]  # fmt: skip


def test_bad_rows_are_refused_by_file_and_line_and_the_rest_converts(raw: Path) -> None:
    good = {"image": "p/a.png", "conversations": said(*M, role=HUMAN)}
    found = converted(raw, *(row for row, _ in BAD), {"id": "twice", **good}, {"id": "twice", **good}, good)
    reasons = found.reasons()
    assert [record.id for record in found.all()] == ["twice", f"train-{len(BAD) + 2:010d}"]
    assert reasons.pop(f"train.jsonl:{len(BAD) + 2}") == f"its id 'twice' is already that of train.jsonl:{len(BAD) + 1}"
    assert len(reasons) == len(BAD)
    for number, (_, message) in enumerate(BAD, start=1):
        assert message in reasons[f"train.jsonl:{number}"]
        assert "\n" not in reasons[f"train.jsonl:{number}"]


def test_nothing_is_stored_for_rows_that_are_refused(raw: Path) -> None:
    found = converted(
        raw, {"images": ["p/a.png", "p/none.png"], "conversations": said("<image><image>", "A", role=HUMAN)}
    )
    assert list(found.reasons()) == ["train.jsonl:1"]
    assert not list(found.images.rglob("*.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "no .json, .jsonl, .parquet, .arrow file directly in it; expected one for each split, such as train.json",
        ),
        ({"files": ("no.json",)}, "no.json: cannot be read"),
        ({"files": ("train=p/a.png",)}, "p/a.png: not a file of rows"),
        ({"split_ratio": "train=2"}, "the shares of 'train=2' sum to 2"),
    ],
)
def test_input_that_cannot_be_meant_is_refused(raw: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UsageError)) as caught:
        list(Chat(input=open_folder(raw), **options).discover())
    assert message in str(caught.value)


def test_an_object_store_gives_the_same_records(raw: Path) -> None:
    rows = [{"image": "p/a.png", "conversations": said(*M, role=HUMAN)}, {"conversations": Q_AND_A}]
    here, store = converted(raw, *rows), fsspec.filesystem("memory")
    store.put(str(raw), "/chat-test", recursive=True)
    try:
        there = convert_here("chat", "memory://chat-test", raw.parent / "there")
    finally:
        store.rm("/chat-test", recursive=True)
    assert len(here.all()) == 2
    assert there.records == here.records


# Questions and answers without messages, other speakers, answers that are not trained on


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "Translate.", "input": "Bus", "output": "Autobús"}, [("Translate.\nBus", "Autobús")]),
        ({"instruction": "Hi.", "input": "", "output": "Hello."}, [("Hi.", "Hello.")]),
        ({"query": "Q", "response": "A", "history": [["Q0", "A0"]]}, [("Q0", "A0"), ("Q", "A")]),
        ({"system": "Be kind.", "query": "Q", "response": "A"}, [("Be kind.\n\nQ", "A")]),
        ({"messages": [{"role": "developer", "content": "Be kind."}, *said("Q", "A")]}, [("Be kind.\n\nQ", "A")]),
    ],
)
def test_questions_with_an_answer_and_the_developers_message_are_read(
    raw: Path, row: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    record = the_record(raw, {**row, "extra": 1})
    assert [(turn.user, turn.assistant) for turn in record.conversations] == expected
    assert record.meta == {"extra": 1}


def test_a_query_is_shown_with_its_images(raw: Path) -> None:
    assert turns(raw, {"query": "<image>Q", "response": "A", "images": ["p/a.png"]}) == [(["p/a.png"], "Q", "A")]


def test_keys_of_other_forms_are_not_lost_from_the_meta(raw: Path) -> None:
    assert the_record(raw, {"conversations": Q_AND_A, "query": "x", "output": None}).meta == {
        "query": "x",
        "output": None,
    }


@pytest.mark.parametrize("key", ["weight", "loss", "train"])
def test_an_answer_of_no_weight_is_not_supervised(raw: Path, key: str) -> None:
    messages = said("Q1", "A1", "Q2", "A2")
    messages[1][key], messages[3][key] = 0, 1
    record = the_record(raw, {"messages": messages})
    assert [turn.is_supervised for turn in record.conversations] == [False, True]
    assert '"supervised":false' in encode_record(record).decode()
    assert encode_record(record).decode().count("supervised") == 1
    messages[1][key] = 0.5
    (reason,) = converted(raw, {"messages": messages}).reasons().values()
    assert reason == f"message 2 has the {key} 0.5; an answer is trained on (1) or not (0)"


@pytest.mark.parametrize("key", ["video", "videos", "audio", "audios"])
def test_a_row_that_shows_more_than_images_is_quarantined(raw: Path, key: str) -> None:
    row = {"messages": said("<video>What?", "A dog."), key: ["clip.mp4"]}
    assert converted(raw, row).reasons() == {
        "train.jsonl:1": f"it has {key}, and a record shows images alone; leave it out, or store frames as images"
    }
    assert the_record(raw, {"messages": said("Q", "A"), key: None}).meta == {key: None}


def test_one_file_is_an_input_with_the_paths_of_its_folder(raw: Path, tmp_path: Path) -> None:
    (raw / "mix665k.json").write_text(json.dumps([{"image": "p/a.png", "conversations": Q_AND_A}]))
    address = resolve_input(Chat, str(raw / "mix665k.json"), tmp_path / "work")
    found = convert_here("chat", address, tmp_path / "out")
    assert not found.reasons()
    assert [list(record.images()) for record in found.records["train"]] == [["p/a.png"]]


# Special tokens


def test_special_tokens_quarantine_their_row_or_are_escaped(raw: Path) -> None:
    rows = [{"messages": said("Is <|end|> it?", "Yes")}, {"messages": said("Q", "A</s>")}, {"messages": said("Q", "A")}]
    found = converted(raw, *rows)
    assert len(found.all()) == 1
    assert found.reasons() == {
        "train.jsonl:1": "turn 1, user: the text holds the special token <|end|>; remove it, or convert with "
        "--escape-tokens",
        "train.jsonl:2": "turn 1, assistant: the text holds the special token </s>; remove it, or convert with "
        "--escape-tokens",
    }
    line = ["convert", "--source", "chat", "--input", str(raw), "--out", str(raw.parent / "data"), "--workers", "1"]
    assert run_command([*line, "--escape-tokens"]) == 0
    texts = [json.loads(text)["conversations"][0] for text in (raw.parent / "data/chat_train.jsonl").open()]
    assert [(turn["user"], turn["assistant"]) for turn in texts] == [
        ("Is < |end|> it?", "Yes"),
        ("Q", "A< /s>"),
        ("Q", "A"),
    ]
