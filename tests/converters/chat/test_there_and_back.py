"""What export-data writes, the source chat reads back: the same records, the same images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import convert_here
from msgspec import UNSET, UnsetType
from PIL import Image

from phi3v_data.converters.chat.export import FORMATS, export_chat
from phi3v_data.converters.chat.messages import MARK, put_marks, take_marks
from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import DatasetError, OutputError, UsageError
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.schema.special_tokens import SpecialTokens
from phi3v_data.storage import LocalFolder, open_folder


def encoded(form: str, colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), (colour, 0, 99)).save(stream, form)
    return stream.getvalue()


IMAGES = [(".png", encoded("PNG", 1)), (".jpg", encoded("JPEG", 70)), (".png", encoded("PNG", 140))]
# Any text that JSON can hold; the marks of two formats are words in the others.
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\n",
        "\nx",
        "<image",
        "image>",
        "<image>\n",
        "a <image> b",
        "\r\nq",
        '"',
        "{{ x }}",
        "data:,",
        "http://x/y",
    ]
)
META = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | WORDS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
STEMS = st.text("ab1_é -", min_size=1, max_size=4).filter(lambda stem: stem.strip() == stem)


@st.composite
def datasets(draw: st.DrawFn, words: st.SearchStrategy[str]) -> tuple[dict[str, list[Record]], dict[str, bytes]]:
    """Records of some splits as `convert` writes them, and their images: shared ones, several in a record, none."""
    files: dict[str, bytes] = {}
    shown: list[list[str]] = [[]]
    for number, (stem, dotted) in enumerate(draw(st.lists(st.tuples(STEMS, st.booleans()), min_size=1, max_size=4))):
        # What the engine lets a converter name its images: a prefix of its own, and a part behind a dot.
        prefix = f"train/{stem}{number}{'.x' if dotted else ''}"
        parts = draw(st.sampled_from([["0"], ["0", "1"], ["img0", "img1", "2"], *([] if dotted else [[""]])]))
        kept = draw(st.lists(st.sampled_from(IMAGES), min_size=len(parts), max_size=len(parts)))
        names = [f"{prefix}{part and '.'}{part}{suffix}" for part, (suffix, _) in zip(parts, kept, strict=True)]
        files.update(zip(names, (data for _, data in kept), strict=True))
        shown.append(names)
    ids = iter(draw(st.lists(st.text(min_size=1, max_size=6), min_size=8, max_size=8, unique=True)))

    def record() -> Record:
        left = list(draw(st.sampled_from(shown)))
        turns = []
        for last in [False] * draw(st.integers(0, 2)) + [True]:
            taken = len(left) if last else draw(st.integers(0, len(left)))
            answers = draw(st.none() | st.lists(words, min_size=1, max_size=3))
            user, assistant = draw(words), draw(words)
            unsaid: list[bool | UnsetType] = [UNSET, UNSET, False]
            supervised = draw(st.sampled_from(unsaid))
            shows = left[:taken]
            turns.append(
                Turn(images=shows, user=user, assistant=assistant, answers=answers or UNSET, supervised=supervised)
            )
            left = left[taken:]
        return Record(
            id=next(ids),
            source=draw(st.just(UNSET) | st.text(max_size=5)),
            conversations=turns,
            meta=draw(st.just(UNSET) | META),
        )

    splits = draw(st.lists(st.sampled_from(["train", "val", "dev_seen", "test1"]), min_size=1, max_size=3, unique=True))
    return {split: [record() for _ in range(draw(st.integers(1, 2)))] for split in splits}, files


def written(root: Path, splits: dict[str, list[Record]], files: dict[str, bytes]) -> Dataset:
    folder = LocalFolder(root)
    for split, records in splits.items():
        write_records(folder, f"some_{split}.jsonl", records)
    for name, data in files.items():
        folder.write(f"images/{name}", data)
    return Dataset(folder, {split: f"some_{split}.jsonl" for split in splits}, None)


@pytest.mark.parametrize("form", FORMATS)
def test_there_and_back_is_the_identity(form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Texts with special tokens are refused.
    words = WORDS.filter(lambda text: not SpecialTokens().in_text(text))
    if form in ("llava", "sharegpt"):
        words = words.filter(lambda text: MARK not in text)

    @settings(max_examples=25, deadline=None)
    @given(datasets(words))
    def identity(data: tuple[dict[str, list[Record]], dict[str, bytes]]) -> None:
        splits, files = data
        root = tmp_path_factory.mktemp(form)
        rows = list(export_chat(written(root / "data", splits, files), form, LocalFolder(root / "there")))
        assert {row.split: row.records for row in rows} == {split: len(records) for split, records in splits.items()}
        back = convert_here("chat", root / "there", root / "back")
        assert not back.reasons()
        assert back.records == splits
        for name in {name for record in back.all() for name in record.images()}:
            assert (back.images / name).read_bytes() == files[name]

    identity()


@given(WORDS.filter(lambda text: MARK not in text), st.integers(0, 3))
def test_marks_put_into_a_text_are_taken_out_again(text: str, number: int) -> None:
    assert take_marks(put_marks(text, number)) == (text, number, True)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("<image>\nWhat?", ("What?", 1, True)),
        ("What?\n<image>", ("What?", 1, False)),
        ("Compare <image> with <image>.", ("Compare with.", 2, False)),
        ("<image><image> Same?", ("Same?", 2, True)),
        ("<image>\r\nWhat?", ("What?", 1, True)),
        (" <image>\n What?", ("  What?", 1, True)),
        ("no mark", ("no mark", 0, True)),
    ],
)
def test_a_mark_goes_with_what_joins_it_to_the_text(text: str, taken: tuple[str, int, bool]) -> None:
    assert take_marks(text) == taken


# The files themselves

RECORD = Record(
    id="7",
    source="pages",
    conversations=[
        Turn(images=["train/a.0.png", "train/a.1.jpg"], user="Q1", assistant="A1", answers=["A1", "a1"]),
        Turn(user="Q2", assistant=""),
    ],
    meta={"group": "g"},
)
OWN = {"source": "pages", "meta": {"group": "g"}, "answers": [["A1", "a1"], None]}
PATHS = ["images/train/a.0.png", "images/train/a.1.jpg"]
ROWS: dict[str, dict[str, Any]] = {
    "llava": {
        "id": "7",
        "image": PATHS,
        "conversations": [
            {"from": "human", "value": "<image>\n<image>\nQ1"},
            {"from": "gpt", "value": "A1"},
            {"from": "human", "value": "Q2"},
            {"from": "gpt", "value": None},
        ],
        "phi3v": OWN,
    },
    "sharegpt": {
        "id": "7",
        "conversations": [
            {"from": "human", "value": "<image>\n<image>\nQ1"},
            {"from": "gpt", "value": "A1"},
            {"from": "human", "value": "Q2"},
            {"from": "gpt", "value": None},
        ],
        "images": PATHS,
        "phi3v": OWN,
    },
    "openai": {
        "id": "7",
        "messages": [
            {
                "role": "user",
                "content": [
                    *({"type": "image_url", "image_url": {"url": path}} for path in PATHS),
                    {"type": "text", "text": "Q1"},
                ],
            },
            {"role": "assistant", "content": "A1"},
            {"role": "user", "content": [{"type": "text", "text": "Q2"}]},
            {"role": "assistant", "content": None},
        ],
        "phi3v": OWN,
    },
    "trl": {
        "id": "7",
        "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Q1"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A1"}]},
            {"role": "user", "content": [{"type": "text", "text": "Q2"}]},
            {"role": "assistant", "content": None},
        ],
        "images": PATHS,
        "phi3v": OWN,
    },
}
FILES = {"train/a.0.png": IMAGES[0][1], "train/a.1.jpg": IMAGES[1][1]}


@pytest.mark.parametrize("form", FORMATS)
def test_a_row_is_as_the_tools_of_its_format_read_it(form: str, tmp_path: Path) -> None:
    dataset = written(tmp_path / "data", {"train": [RECORD, msgspec.structs.replace(RECORD, id="8")]}, FILES)
    (row,) = export_chat(dataset, form, LocalFolder(tmp_path / "out"))
    assert (row.records, row.images) == (2, 2)
    text = (tmp_path / "out" / row.file).read_bytes()
    rows = (
        msgspec.json.decode(text) if row.file == "train.json" else [msgspec.json.decode(x) for x in text.splitlines()]
    )
    assert rows == [ROWS[form], {**ROWS[form], "id": "8"}]
    assert row.file == {"llava": "train.json", "sharegpt": "train.json"}.get(form, "train.jsonl")


def test_datasets_loads_what_is_written_for_trl(tmp_path: Path) -> None:
    import datasets

    list(export_chat(written(tmp_path / "data", {"train": [RECORD]}, FILES), "trl", LocalFolder(tmp_path / "out")))
    # A row names its images relative to the folder, as everybody's do.
    files = {"train": str(tmp_path / "out/train.jsonl")}
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded[0]["images"] == PATHS
    assert [message["role"] for message in loaded[0]["messages"]] == ["user", "assistant"] * 2


@pytest.mark.parametrize(("form", "text"), [("llava", "[\n]\n"), ("trl", "")])
def test_a_split_without_records_is_a_file_without_rows(form: str, text: str, tmp_path: Path) -> None:
    (row,) = export_chat(written(tmp_path / "data", {"train": []}, {}), form, LocalFolder(tmp_path / "out"))
    assert (row.records, row.images) == (0, 0)
    assert (tmp_path / "out" / row.file).read_text() == text


def test_an_object_store_is_written_to_like_a_folder(tmp_path: Path) -> None:
    dataset, out = written(tmp_path / "data", {"train": [RECORD]}, FILES), open_folder("memory://export-test")
    try:
        list(export_chat(dataset, "openai", out))
        assert msgspec.json.decode(out.read("train.jsonl")) == ROWS["openai"]
        assert {name: out.read(f"images/{name}") for name in FILES} == FILES
        with pytest.raises(OutputError, match="not empty"):
            list(export_chat(dataset, "openai", out))
    finally:
        out.delete("")


# What cannot be


@pytest.mark.parametrize("form", ["llava", "sharegpt"])
@pytest.mark.parametrize(
    "turn", [Turn(user="a <image> b", assistant="a"), Turn(user="u", assistant="<image>")], ids=["user", "assistant"]
)
def test_a_mark_among_the_words_is_refused_where_it_would_be_a_image(form: str, turn: Turn, tmp_path: Path) -> None:
    record = Record(id="r9", conversations=[turn])
    with pytest.raises(UsageError, match=r"the record 'r9' has <image> in a text, .*give --format openai or trl"):
        list(export_chat(written(tmp_path / "data", {"train": [record]}, {}), form, LocalFolder(tmp_path / "out")))


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="not empty; name another folder, or remove it"):
        list(export_chat(written(tmp_path / "data", {"train": [RECORD]}, FILES), "trl", LocalFolder(tmp_path)))


def test_a_image_that_is_missing_is_named(tmp_path: Path) -> None:
    dataset = written(tmp_path / "data", {"train": [RECORD]}, {})
    with pytest.raises(DatasetError, match=r"images/train/a\.0\.png: missing; convert the data again"):
        list(export_chat(dataset, "trl", LocalFolder(tmp_path / "out")))
