from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from in_process import Converted, convert_here
from raw_questions import cell, image
from record_meta import meta_of

from phi3v_data.converters.input.resolve import resolve_input
from phi3v_data.converters.sources.table import Table
from phi3v_data.converters.video.synthesis import write_clip
from phi3v_data.schema.errors import InputError, UsageError
from phi3v_data.schema.record import Record
from phi3v_data.storage import LocalFolder

ROW = {"page": "pages/1.png", "ask": "How many?", "right": ["2", "two"], "doc": "a"}
MAPPING: dict[str, Any] = {"images": ["page"], "prompt": ["ask"], "answer": "right"}


class RawTable:
    """A folder of tables and images, and how to convert it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.out = root / "raw", root / "out"
        for number in (1, 2, 3):
            path = self.folder / "pages" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image(number))

    def lines(self, name: str, *rows: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        path.write_bytes(b"".join(text + b"\n" for text in texts))

    def convert(self, only: str = "", **options: Any) -> Converted:
        return convert_here("table", self.folder / only if only else self.folder, self.out, **{**MAPPING, **options})

    def one(self, **options: Any) -> Record:
        converted = self.convert(**options)
        assert converted.refused == {}
        (record,) = converted.all()
        return record


@pytest.fixture
def raw(tmp_path: Path) -> RawTable:
    return RawTable(tmp_path)


def test_a_row_becomes_a_record(raw: RawTable) -> None:
    raw.lines("val.jsonl", ROW)
    assert msgspec.to_builtins(raw.one(group="doc")) == {
        "id": "val-0000000000",
        "source": "table",
        "conversations": [
            {"images": ["pages/1.png.0.png"], "user": "How many?", "assistant": "2", "answers": ["2", "two"]}
        ],
        "meta": {"group": "a", "row": "val.jsonl:1"},
    }
    assert (raw.out / "images/pages/1.png.0.png").read_bytes() == image(1)


def test_templates_stand_wherever_columns_do(raw: RawTable) -> None:
    raw.lines("x.jsonl", {"n": 2, "word": "cat", "of": ["a", "b"]})
    record = raw.one(
        images=["pages/{{ n }}.png"],
        prompt=["{{ word }} of {{ of | join(' and ') }}?"],
        answer="{% if n > 1 %}many{% else %}one{% endif %}",
        group="{{ word }}s",
        split_column="{{ 'test' if n > 1 else 'train' }}",
        id="{{ word }}-{{ n }}",
    )
    assert record.id == "test-cat-2"
    assert record.meta == {"group": "cats", "row": "x.jsonl:1"}
    turn = record.conversations[0]
    assert (turn.images, turn.user, turn.assistant) == (["pages/2.png.0.png"], "cat of a and b?", "many")
    assert turn.answers is msgspec.UNSET


def test_every_form_of_table_gives_the_same_records(raw: RawTable, tmp_path: Path) -> None:
    rows = [{"page": f"pages/{n}.png", "ask": f"What is {n}?", "right": str(n)} for n in (1, 2, 3)]
    found = {}
    for suffix in ("jsonl", "json", "csv", "tsv", "parquet", "arrow"):
        path = raw.folder / f"rows.{suffix}"
        if suffix == "jsonl":
            raw.lines(path.name, *rows)
        elif suffix == "json":
            path.write_text(json.dumps(rows))
        elif suffix in ("csv", "tsv"):
            with path.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]), delimiter="," if suffix == "csv" else "\t")
                writer.writeheader()
                writer.writerows(rows)
        elif suffix == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            table = pa.Table.from_pylist(rows)
            with pa.ipc.new_stream(str(path), table.schema) as writer:
                writer.write_table(table)
        records = raw.convert(path.name).all()
        found[suffix] = [(record.id, msgspec.to_builtins(record.conversations)) for record in records]
        path.unlink()
    assert len(found["csv"]) == 3
    assert all(each == found["csv"] for each in found.values())


def test_images_lie_in_cells_in_lists_and_in_several_columns(raw: RawTable) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("pics", pa.list_(struct)), ("more", struct), ("file", pa.string()), ("ask", pa.string())])
    rows = [
        {"pics": [cell(1), cell(2)], "more": cell(3), "file": "pages/1.png", "ask": "a"},
        {"pics": [cell(4)], "more": None, "file": None, "ask": "b"},
        {"pics": [], "more": None, "file": None, "ask": "c"},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), raw.folder / "rows.parquet")
    found = raw.convert(images=["pics", "more", "file"], answer="ask")
    assert [[(raw.out / "images" / name).read_bytes() for name in record.images()] for record in found.all()] == [
        [image(1), image(2), image(3), image(1)],
        [image(4)],
    ]
    assert found.reasons() == {"rows.parquet, row 3": "pics, more, file are empty; the row shows nothing"}


@pytest.mark.parametrize(
    ("path", "said"), [("pages/1.png", ""), ("pages/9.png", "no such image"), ("/etc/passwd", "no bytes of an image")]
)
def test_a_cell_without_bytes_shows_the_file_that_it_names(raw: RawTable, path: str, said: str) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("page", struct), ("ask", pa.string()), ("right", pa.string())])
    row = {"page": {"bytes": None, "path": path}, "ask": "What?", "right": "this"}
    pq.write_table(pa.Table.from_pylist([row], schema), raw.folder / "rows.parquet")
    found = raw.convert()
    assert [said in reason for reason in found.reasons().values()] == [True] * bool(said)
    assert len(found.all()) == (not said)


def test_a_list_in_a_cell_of_text_is_one(raw: RawTable) -> None:
    (raw.folder / "x.csv").write_text('page,ask,right\n"[""pages/1.png"", ""pages/2.png""]",Same?,no\n')
    assert [(raw.out / "images" / name).read_bytes() for name in raw.one().images()] == [image(1), image(2)]


def test_a_image_of_several_rows_is_stored_once(raw: RawTable) -> None:
    raw.lines("x.jsonl", ROW, {**ROW, "ask": "Where?"}, {**ROW, "page": ["pages/1.png", "pages/2.png"]})
    shown = [list(record.images()) for record in raw.convert().all()]
    assert shown[0] == shown[1] != shown[2]
    assert len([path for path in (raw.out / "images").rglob("*") if path.is_file()]) == 3


def test_videos_become_frames_beside_images(raw: RawTable) -> None:
    for name in ("a", "b"):
        write_clip(raw.folder / f"{name}.avi", np.zeros((6, 48, 64, 3), np.uint8))
    raw.lines("x.jsonl", {**ROW, "clip": "a.avi"}, {**ROW, "clip": ["a.avi", "b.avi"]}, {**ROW, "clip": "none.avi"})
    sampling = {"frames": 2}
    alone = raw.convert(images=[], videos=["clip"], sampling=sampling)
    assert [len(list(record.images())) for record in alone.all()] == [2, 4]
    assert "no such clip" in alone.reasons()["x.jsonl:3"]
    both = raw.convert(videos=["clip"], sampling=sampling).all()
    assert next(iter(both[0].images())).endswith(".0.png")
    assert [len(list(record.images())) for record in both] == [3, 5]
    meta = both[0].meta
    assert isinstance(meta, dict)
    assert (meta["video"], meta["frames"]) == ("a.avi", [0, 3])


def test_splits_follow_a_column_or_the_hash_of_the_group(raw: RawTable) -> None:
    raw.lines("val.jsonl", *({**ROW, "doc": f"d{n // 4}", "fold": "ab"[n % 2]} for n in range(200)))
    by_column = raw.convert(split_column="fold")
    assert {split: len(records) for split, records in by_column.records.items()} == {"a": 100, "b": 100}
    by_hash = raw.convert(split_ratio="train=0.7,val=0.3", group="doc")
    groups = Counter((meta_of(record)["group"], split) for split, found in by_hash.records.items() for record in found)
    assert set(groups.values()) == {4}
    assert {split for _, split in groups} == {"train", "val"}
    raw.lines("more.jsonl", *({**ROW, "doc": f"e{n}"} for n in range(50)))
    again = raw.convert(split_ratio="train=0.7,val=0.3", group="doc")
    assert (
        groups.items() <= Counter((meta_of(r)["group"], s) for s, found in again.records.items() for r in found).items()
    )


@pytest.mark.parametrize("split", ["../x", "a/b", ".hidden", "two\nlines"])
def test_a_row_of_a_split_that_cannot_name_a_file_fails_alone(raw: RawTable, split: str) -> None:
    raw.lines("qa/x.jsonl", {**ROW, "part": "train"}, {**ROW, "part": split})
    found = raw.convert(split_column="part")
    assert len(found.all()) == 1
    assert found.reasons() == {"qa/x.jsonl:2": f"--split-column is {split!r}, which cannot be the name of a file"}


def test_one_of_several_prompts_is_drawn_by_seed_and_id(raw: RawTable) -> None:
    raw.lines("x.jsonl", *[ROW] * 40)
    prompts = ["ask", "Say: {{ ask }}"]
    drawn = [
        [r.conversations[0].user for r in raw.convert(prompt=prompts, sampling={"seed": s}).all()] for s in (0, 0, 1)
    ]
    assert set(drawn[0]) == {"How many?", "Say: How many?"}
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_an_answer_records_are_to_predict_on(raw: RawTable) -> None:
    raw.lines("x.jsonl", ROW)
    turn = raw.one(answer="").conversations[0]
    assert (turn.assistant, turn.answers) == ("", msgspec.UNSET)


BAD: dict[str, tuple[dict[str, Any] | bytes, str]] = {
    "not valid JSON": (b'{"page": ', "not valid JSON"),
    "wrong encoding": (b'{"page": "\xff"}', "not UTF-8"),
    "no object": (b"[1]", "not a JSON object"),
    "another data set": ({"img": "1.png", "label": 1}, "no column 'id' for --id; it has: img, label"),
    "no image named": ({**ROW, "page": None}, "--images is empty"),
    "an image missing": ({**ROW, "page": "pages/9.png"}, "pages/9.png: no such image"),
    "a folder": ({**ROW, "page": "pages"}, "pages: a folder, not an image"),
    "no path": ({**ROW, "page": 7}, "--images is 7; expected a path, or bytes"),
    "out of the input": ({**ROW, "page": "../1.png"}, "outside the input"),
    "out, from the root": ({**ROW, "page": "/etc/passwd"}, "outside the input"),
    "an address": ({**ROW, "page": "https://host/1.png"}, "images are not fetched"),
    "no question": ({**ROW, "ask": " "}, "--prompt is empty"),
    "no answer": ({**ROW, "right": []}, "--answer is an empty list"),
    "an empty answer": ({**ROW, "right": ["a", ""]}, "--answer is empty"),
    "an answer of no kind": ({**ROW, "right": {"a": 1}}, "--answer is dict"),
    "no group": ({**ROW, "doc": None}, "--group is empty"),
    "an id again": ({**ROW, "id": 0}, "its id 'train-0' is already that of"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_by_file_and_line_and_the_others_convert(raw: RawTable, name: str) -> None:
    bad, said = BAD[name]
    good = [{**ROW, "id": number} for number in range(2)]
    given = {**bad, "id": bad.get("id", 7)} if isinstance(bad, dict) and "page" in bad else bad
    raw.lines("qa/x.jsonl", good[0], given, good[1])
    (raw.folder / "pages").rename(raw.folder / "qa/pages")
    found = raw.convert(group="doc", id="id")
    assert len(found.all()) == 2
    ((place, reason),) = found.reasons().items()
    assert place == "qa/x.jsonl:2"
    assert said in reason


def test_paths_begin_at_the_tables_folder_or_at_the_input(raw: RawTable) -> None:
    raw.lines("qa/x.jsonl", ROW)
    assert (raw.out / "images" / next(raw.one().images())).read_bytes() == image(1)
    absolute = {**ROW, "page": f"{raw.folder}/pages/2.png"}
    raw.lines("qa/x.jsonl", absolute)
    assert (raw.out / "images" / next(raw.one().images())).read_bytes() == image(2)


def test_the_tables_are_those_asked_for(raw: RawTable) -> None:
    def places(converted: Converted) -> list[str]:
        return [str(record.meta["row"]) for record in converted.all() if isinstance(record.meta, dict)]

    for name in ("a.jsonl", "b/c.jsonl", "d.tsv"):
        raw.lines(name, ROW)
    (raw.folder / "d.tsv").write_text("page\task\tright\npages/1.png\tHow?\tso\n")
    assert places(raw.convert()) == ["a.jsonl:1", "b/c.jsonl:1", "d.tsv:2"]
    assert places(raw.convert(files=["*.jsonl"])) == ["a.jsonl:1", "b/c.jsonl:1"]
    assert places(raw.convert("b/c.jsonl", images=[])) == ["c.jsonl:1"]
    with pytest.raises(InputError, match=r"no table in it; expected \*\.csv"):
        raw.convert(files=["*.csv"])


def test_a_single_file_is_an_input(raw: RawTable, tmp_path: Path) -> None:
    raw.lines("x.jsonl", ROW)
    assert resolve_input(Table, str(raw.folder / "x.jsonl"), tmp_path) == str(raw.folder / "x.jsonl")
    import fsspec

    fsspec.filesystem("memory").pipe_file("/one-table/x.jsonl", b"{}")
    assert resolve_input(Table, "memory://one-table/x.jsonl", tmp_path) == "memory://one-table/x.jsonl"
    (raw.folder / "x.xlsx").write_bytes(b"")
    with pytest.raises(InputError, match="neither a folder nor a file that is read here"):
        resolve_input(Table, str(raw.folder / "x.xlsx"), tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": ()}, "no prompt; name a column, or give a template"),
        ({"prompt": ("{{ ask",)}, "is not a Jinja template"),
        ({"split_column": "a", "split_ratio": "train=1"}, "both decide the split"),
        ({"split_ratio": "train=0.5"}, "sum to"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_read(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Table(input=LocalFolder(tmp_path), **{"prompt": ("ask",), **options})


@pytest.mark.real_data
def test_a_published_file_is_a_table_like_any_other(real_data: Path, tmp_path: Path) -> None:
    raw = json.loads((real_data / "documents/val_v1.0_withQT.json").read_text())["data"]
    found = convert_here(
        "table",
        real_data / "documents",
        tmp_path,
        images=["image"],
        prompt=["{{ question }}\nAnswer briefly."],
        answer="answers",
        group="ucsf_document_id",
        split_column="data_split",
        id="questionId",
    )
    assert found.refused == {}
    assert list(found.records) == ["val"]
    assert [record.id for record in found.all()] == [f"val-{row['questionId']}" for row in raw]
    assert [record.conversations[0].answers for record in found.all()] == [row["answers"] for row in raw]
    assert Counter(meta_of(record)["group"] for record in found.all()) == Counter(
        row["ucsf_document_id"] for row in raw
    )
    assert len(list((tmp_path / "images").rglob("*.png"))) == len({row["image"] for row in raw})


# Fields inside columns


def test_paths_reach_fields_inside_columns_for_texts_and_images(raw: RawTable) -> None:
    pages = [{"image": "pages/1.png", "n": 1}, {"image": "pages/2.png", "n": 2}]
    raw.lines("x.jsonl", {"qa": {"q": "Which?", "a": ["1", "one"]}, "pages": pages, "a.b": "dotted"})
    nested = raw.one(images=["pages[*].image"], prompt=["qa.q"], answer="qa.a", group="a.b", id="pages[1].n")
    assert nested.id == "train-2"
    assert [(data := (raw.out / "images" / name).read_bytes()) and data for name in nested.images()] == [
        image(1),
        image(2),
    ]
    turn = nested.conversations[0]
    assert (turn.user, turn.assistant, turn.answers) == ("Which?", "1", ["1", "one"])
    assert nested.meta == {"group": "dotted", "row": "x.jsonl:1"}
    every = raw.one(images=["pages[0].image"], prompt=["qa.q"], answer="pages[*].n")
    assert (every.conversations[0].assistant, every.conversations[0].answers) == ("1", ["1", "2"])


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_paths_reach_bytes_inside_cells(raw: RawTable, suffix: str) -> None:
    page = pa.struct([("scan", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("n", pa.int64())])
    schema = pa.schema(
        [
            ("pages", pa.list_(page)),
            ("ask", pa.string()),
            ("bare", pa.struct([("data", pa.binary()), ("k", pa.string())])),
        ]
    )
    pages = [[{"scan": cell(10 * row + n), "n": n} for n in (1, 2)] for row in range(3)]
    rows = [{"pages": of, "ask": "?", "bare": {"data": image(90), "k": "v"}} for of in pages]
    table = pa.Table.from_pylist(rows, schema)
    if suffix == ".parquet":
        pq.write_table(table, raw.folder / "x.parquet")
    else:
        with pa.ipc.new_stream(str(raw.folder / "x.arrow"), schema) as writer:
            writer.write_table(table)
    records = raw.convert(images=["pages[*].scan", "bare.data"], prompt=["ask"], answer="bare.k").all()
    stored = [[(raw.out / "images" / name).read_bytes() for name in record.images()] for record in records]
    assert stored == [[image(10 * row + 1), image(10 * row + 2), image(90)] for row in range(3)]
    assert len(raw.convert(images=["pages[1].scan"], prompt=["ask"], answer="bare.k").all()) == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("qa.b", "--prompt qa.b: no 'b' in qa, which is an object with a"),
        (
            "list[2]",
            "--prompt list[2]: no 2 in list, which is a list of 1; give list[0] for the first, or list[*] for all",
        ),
        (
            "list.a",
            "--prompt list.a: no 'a' in list, which is a list of 1; give list[0] for the first, or list[*] for all",
        ),
        ("qa.a.c", "--prompt qa.a.c: no 'c' in qa.a, which is a single value"),
        ("void.x", "--prompt void.x: no 'x' in void, which is empty"),
        ("none.x", "no column 'none' for --prompt; it has: qa, list, void (a fixed text is given as {{ 'none.x' }})"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(raw: RawTable, path: str, message: str) -> None:
    raw.lines("x.jsonl", {"qa": {"a": "?"}, "list": ["x"], "void": None})
    assert raw.convert(images=[], prompt=[path], answer="").reasons() == {"x.jsonl:1": message}


def test_cells_are_separated_by_what_is_given_and_a_header_in_one_piece_hints_at_it(raw: RawTable) -> None:
    (raw.folder / "x.csv").write_text("page;ask;right\npages/1.png;How, many?;2\n")
    assert raw.one(delimiter=";").conversations[0].user == "How, many?"
    (raw.folder / "x.csv").write_text("page;ask;right\npages/1.png;How many?;2\n")
    assert raw.convert().reasons() == {
        "x.csv:2": "no column 'page' for --images; it has: page;ask;right (give --delimiter ';')"
    }
    (raw.folder / "x.csv").write_text("page\task\tright\npages/1.png\tq\t2\n")
    assert raw.convert().reasons()["x.csv:2"].endswith("(give --delimiter '\\t')")
    assert raw.one(delimiter="\\t").conversations[0].user == "q"
    with pytest.raises(UsageError, match="--delimiter ';;': expected one character"):
        raw.convert(delimiter=";;")


def test_a_list_inside_a_template_is_an_error_that_names_the_field(raw: RawTable) -> None:
    raw.lines("x.jsonl", ROW)
    assert raw.convert(answer="{{ right }}").reasons() == {
        "x.jsonl:1": "--answer: the template prints right: the list ['2', 'two']; name one of it, {{ name[0] }}, "
        "or join it: {{ name | join(', ') }}"
    }


@pytest.mark.parametrize("options", [{}, {"split_ratio": "train=1/2,test=1/2"}])
def test_what_is_not_a_row_takes_no_number_and_stays_in_the_split_of_its_file(
    raw: RawTable, options: dict[str, str]
) -> None:
    raw.lines("val.jsonl", b"{broken", ROW, b"[]", ROW)
    found = raw.convert(**options)
    numbers = sorted(record.id.rpartition("-")[2] for record in found.all())
    assert numbers in (["0000000000", "0000000001"], ["0000000000", "0000000000"])
    assert len(found.refused) == 2
