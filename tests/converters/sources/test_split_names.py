"""One rule for the name of a split, whatever the source: val, valid and validation are val; every other name stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from raw_questions import Raw, cell, image, text

from phi3v_data.converters.registry import ConverterSpec


def splits(source: str, folder: Path, **options: object) -> set[str]:
    return {item.split for item in ConverterSpec(source=source, input=str(folder), options=options).build().discover()}


@pytest.mark.parametrize(("word", "split"), [("validation", "val"), ("valid", "val"), ("dev_seen", "dev_seen")])
def test_the_same_word_names_the_same_split_in_every_source(tmp_path: Path, word: str, split: str) -> None:
    questions = Raw(tmp_path / "q", "docvqa")
    questions.table(f"data/{word}-00000-of-00001.parquet", [{"images": [cell()], "texts": [text("q", "a", "docvqa")]}])
    found = {"docvqa": splits("docvqa", questions.root)}
    conversation = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / f"{word}-00000-of-00002.jsonl").write_text(json.dumps({"conversations": conversation, "ask": "q"}))
    found["chat"] = splits("chat", rows)
    found["table"] = splits("table", rows, prompt=["ask"])
    found["table by column"] = splits("table", rows, prompt=["ask"], split_column=f"{{{{ '{word}' }}}}")
    for path in (f"folders/{word}/cat/a.png", "lists/cat/a.png", f"captions/{word}/a.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(image())
    (tmp_path / f"lists/{word}.txt").write_text("cat/a.png\n")
    found["folders"] = splits("image-folder", tmp_path / "folders", split_by="folder")
    found["lists"] = splits("image-folder", tmp_path / "lists", split_by="file")
    found["captions"] = splits("image-folder", tmp_path / "captions", split_by="folder", captions=".txt")
    assert set().union(*found.values()) == {split}, found
