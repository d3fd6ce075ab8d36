"""The card of a dataset: numbers that hold, and a front matter that loads."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard
from small_dataset import MARKUP, record, write_dataset, write_image
from tokenizer_folder import write_tokenizer_folder

from phi3v_data.cli.card import write_dataset_card
from phi3v_data.cli.conversion_command import conversion_command
from phi3v_data.cli.main import run_command
from phi3v_data.converters.registry import listed_sources
from phi3v_data.data_cards.cards.dataset_card import FEATURES
from phi3v_data.data_cards.cards.source_text import source_text
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.layout import read_manifest
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder

HEADINGS = ["### Origin", "### Licence and its obligations", "### Intended use", "### Known biases and limits"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_image(tmp_path / "raw.jpg", 1)
    train = [record(f"a-{n}", [f"{n}.jpg"], "Which?", f"c{n % 2}", label=f"c{n % 2}", group=f"g{n}") for n in range(6)]
    val = [
        record("b-0", ["0.jpg"], "Which?", MARKUP, label=MARKUP, group="g1", extra={"deep": [1, "x"]}),
        Record(id="b-1", conversations=[Turn(user="a", assistant="b", answers=["b", "c"], supervised=False)] * 2),
    ]
    failed = {"id": "x", "split": "train", "stage": "decode", "exception": "MediaError", "message": "cut off"}
    folder = write_dataset(tmp_path / "d", {"train": train, "val": val, "test": []}, [failed])
    for number in range(6):
        write_image(folder / f"images/{number}.jpg", number)
    return folder


def test_load_dataset_gives_the_manifests_counts_and_every_field(dataset: Path, tmp_path: Path) -> None:
    import datasets

    write_dataset_card(open_dataset(str(dataset)))
    loaded = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path / "cache"))
    counts = {row.split: row.records for row in read_manifest(LocalFolder(dataset)).splits if row.records}
    assert {name: len(rows) for name, rows in loaded.items()} == counts
    assert loaded["train"].features == datasets.Features._from_yaml_list(FEATURES)
    row = loaded["val"][1]["conversations"][1]
    assert (row["answers"], row["supervised"]) == (["b", "c"], False)
    assert loaded["val"][0]["meta"]["extra"] == {"deep": [1, "x"]}


@pytest.mark.parametrize("more", [["--shards"], ["--shards", "--no-images"]])
def test_load_dataset_works_on_what_convert_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    import datasets

    monkeypatch.chdir(tmp_path)
    for number in range(7):
        write_image(Path(f"raw/{'train' if number < 5 else 'val'}/c{number % 2}/{number}.jpg"), number)
    command = "convert --source image-folder --split-by folder --input raw --out d --workers 1"
    assert run_command([*command.split(), *more]) == 0
    loaded = datasets.load_dataset("d", cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 5, "val": 2}
    assert {"0.jpg", "json"} <= set(loaded["train"].column_names) or "conversations" in loaded["train"].column_names


def test_the_card_says_what_the_data_is(dataset: Path) -> None:
    write_dataset_card(open_dataset(str(dataset)))
    card = DatasetCard.load(dataset / "README.md")
    assert card.data.size_categories == ["n<1K"]
    assert "phi3v-data" in card.data.tags
    text = card.text
    assert "| `train` | 6 | 6 | 6 |" in text
    assert "| `train` | 7 | 6 | 1 | 0 |" in text
    assert "| decode | `MediaError` | 1 |" in text
    assert "| groups | `train and val` | `g1` | 1 |" in text
    assert "| images | `train and val` | `0.jpg` | 1 |" in text
    assert "<script>" not in text.replace(r"\<script\>", "")


def test_the_command_measures_and_keeps_a_persons_words(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tokenizer_folder(tmp_path / "model")
    assert run_command(["card", str(dataset), "--no-measure"]) == 0
    card = dataset / "README.md"
    card.write_text(card.read_text().replace("Not stated. Write here what the dataset is for", "For tests"))
    capsys.readouterr()
    assert run_command(["card", str(dataset), "--model", str(tmp_path / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"card": str(card), "kept": ["source"], "measured": True}
    assert "| image width, pixels | 320 | 320 | 320 |" in card.read_text()
    assert "at most 1 crops an image" in card.read_text()
    assert "For tests" in card.read_text()


@pytest.mark.parametrize("source", [source.name for source in listed_sources() if not source.package])
def test_every_source_has_a_text_of_its_own(source: str) -> None:
    found = source_text(source)
    assert found.title != source_text("other").title
    assert [heading for heading in HEADINGS if heading in found.text] == HEADINGS
    # The hub asks for both where a licence is none of its own.
    assert found.front.get("license") != "other" or {"license_name", "license_link"} <= set(found.front)


def test_the_command_that_is_shown_makes_the_dataset_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        write_image(Path(f"raw/c{number % 2}/{number}.jpg"), number)
    given = "--prompt 'What is \"this\"?' --quality 60 --max-side 200 --splits train --shards --shard-size 1000000"
    common = ["--input", "raw", "--workers", "1"]
    assert run_command(["convert", "--source", "image-folder", *shlex.split(given), "--out", "a", *common]) == 0
    first = read_manifest(LocalFolder("a"))
    _, *again = shlex.split(conversion_command(first))
    assert run_command([*again, "--out", "b", *common]) == 0
    assert read_manifest(LocalFolder("b")) == first
