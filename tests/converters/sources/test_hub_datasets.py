"""Datasets of the hub, from a server that speaks its protocol, through `datasets` itself in a process of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from raw_questions import CAULDRON, cell, image, text

SUPPORT = Path(__file__).resolve().parents[2] / "support"

# Converts what it is told, one after the other, and prints what became of each.
CLIENT = f"""
import json, sys
sys.path.insert(0, {str(SUPPORT)!r})
import msgspec
from in_process import convert_here
from pathlib import Path
from phi3v_data.converters.input.resolve import resolve_input
from phi3v_data.converters.registry import ConverterSpec
from phi3v_data.schema.errors import InputError
for number, (source, options) in enumerate(json.loads(sys.argv[1])):
    try:
        unbound = ConverterSpec(source=source, input=".", options=options).build()
        address = resolve_input(unbound, None, Path(sys.argv[2]))
        found = convert_here(source, address, Path(sys.argv[2]) / str(number), **options)
    except InputError as error:
        print(json.dumps({{"error": f"{{type(error).__name__}}: {{error}}"}}))
        continue
    records = {{s: [json.loads(msgspec.json.encode(r)) for r in records] for s, records in found.records.items()}}
    print(json.dumps({{"images": str(found.images), "records": records, "refused": found.reasons()}}))
"""

MAPPING = {"images": ["image"], "prompt": ["question"], "answer": "label"}


def run(hub: HubServer, folder: Path, *jobs: tuple[str, dict[str, Any]], **more: str) -> list[dict[str, Any]]:
    """Run these sources without an input; the hub's cache lies in the folder."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(jobs), str(folder)],
        env=hub.environment(folder / "hf", **more),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def of(repo: str, **options: Any) -> tuple[str, dict[str, Any]]:
    return "hub", {"repo": repo, **MAPPING, **options}


def parquet(*rows: dict[str, Any], schema: pa.Schema | None = None, features: dict[str, Any] | None = None) -> bytes:
    table = pa.Table.from_pylist(list(rows), schema)
    if features is not None:
        # As `datasets` writes down what columns mean.
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def rows(count: int) -> list[dict[str, Any]]:
    return [{"image": cell(n), "question": f"Is it {n}?", "label": n % 2} for n in range(count)]


FEATURES = {
    "image": {"_type": "Image"},
    "question": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
}


def webdataset(count: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(count):
            for suffix, data in (("png", image(number)), ("txt", f"caption {number}".encode())):
                member = tarfile.TarInfo(f"{number:04d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def shown(hub_of_module: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every kind of dataset, converted in one process."""
    hub, folder = hub_of_module, tmp_path_factory.mktemp("datasets")
    jobs = {
        "parquet": of("owner/parquet"),
        "subset": of("owner/subsets", subset="second", hub_splits=["test"]),
        "lines": of("owner/lines", images=["file"], answer="answer"),
        "csv with arguments": of("owner/semicolons", images=[], answer="answer"),
        "imagefolder": of("owner/folders", prompt=["{{ 'What is it?' }}"]),
        "webdataset": of("owner/tars", images=["png"], prompt=["{{ 'Describe it.' }}"], answer="txt"),
    }
    found = run(hub, folder, *jobs.values())
    return dict(zip(jobs, found, strict=True))


@pytest.fixture(scope="module")
def hub_of_module() -> Any:
    from hub_server import serve

    with serve() as hub:
        two = parquet(*rows(2), features=FEATURES)
        hub.add("datasets/owner/parquet", "data/train-00000-of-00001.parquet", parquet(*rows(3), features=FEATURES))
        hub.add("datasets/owner/parquet", "data/validation-00000-of-00001.parquet", two)
        card = "---\nconfigs:\n" + "".join(
            f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/a.parquet\n"
            f"  - split: test\n    path: {name}/b.parquet\n"
            for name in ("first", "second")
        )
        hub.add("datasets/owner/subsets", "README.md", f"{card}---\n".encode(), is_lfs=False)
        for name in ("first/a", "first/b", "second/a"):
            hub.add("datasets/owner/subsets", f"{name}.parquet", b"never asked for")
        hub.add("datasets/owner/subsets", "second/b.parquet", two)
        lines = b'{"file": "pics/1.png", "question": "What?", "answer": "x"}\n{"broken\n'
        hub.add("datasets/owner/lines", "train.jsonl", lines + lines.replace(b"pics/1", b"pics/9"))
        hub.add("datasets/owner/lines", "pics/1.png", image(1))
        card = "---\nconfigs:\n- config_name: default\n  data_files: rows.csv\n  sep: ;\n---\n"
        hub.add("datasets/owner/semicolons", "README.md", card.encode(), is_lfs=False)
        hub.add("datasets/owner/semicolons", "rows.csv", b"question;answer\nHow many, then?;3\n")
        for name in ("cat", "dog"):
            hub.add("datasets/owner/folders", f"train/{name}/1.png", image(len(name) + ord(name[0])))
        hub.add("datasets/owner/tars", "train-0000.tar", webdataset(3))
        hub.add("datasets/owner/script", "script.py", b"raise SystemExit('it ran')")
        url = f"{hub.endpoint}/datasets/owner/parquet/resolve/main/data/train-00000-of-00001.parquet"
        card = f"---\nconfigs:\n- config_name: default\n  data_files: {url}\n---\n"
        hub.add("datasets/owner/elsewhere", "README.md", card.encode(), is_lfs=False)
        hub.add("datasets/owner/empty", "notes.xyz", b"nothing")
        yield hub


def turns(found: dict[str, Any], split: str = "train") -> list[tuple[str, str]]:
    return [(r["conversations"][0]["user"], r["conversations"][0]["assistant"]) for r in found["records"][split]]


def images(found: dict[str, Any], split: str = "train") -> list[bytes]:
    names = [name for record in found["records"][split] for name in record["conversations"][0]["images"]]
    return [(Path(found["images"]) / name).read_bytes() for name in names]


def test_parquet_files_are_rows_and_numbers_of_classes_have_names(shown: dict[str, dict[str, Any]]) -> None:
    found = shown["parquet"]
    assert turns(found) == [("Is it 0?", "no"), ("Is it 1?", "yes"), ("Is it 2?", "no")]
    assert turns(found, "val") == [("Is it 0?", "no"), ("Is it 1?", "yes")]
    assert images(found) == [image(0), image(1), image(2)]
    assert found["records"]["val"][1]["meta"] == {"row": "data/validation-00000-of-00001.parquet, row 2"}


def test_only_the_files_of_the_subset_and_its_splits_are_fetched(
    shown: dict[str, dict[str, Any]], hub_of_module: HubServer
) -> None:
    assert list(shown["subset"]["records"]) == ["test"]
    assert len(turns(shown["subset"], "test")) == 2
    cached = Path(shown["subset"]["images"]).parents[1] / "hf/hub/datasets--owner--subsets/snapshots"
    assert [path.name for path in cached.rglob("*.parquet")] == ["b.parquet"]


def test_a_row_names_a_file_of_the_dataset_and_a_broken_one_is_named(shown: dict[str, dict[str, Any]]) -> None:
    found = shown["lines"]
    assert images(found) == [image(1)]
    assert {place: reason.partition(" (")[0] for place, reason in found["refused"].items()} == {
        "train.jsonl:2": "not valid JSON",
        "train.jsonl:3": "owner/lines/pics/9.png cannot be fetched from the hub: the dataset holds no such file; "
        "download " + found["refused"]["train.jsonl:3"].split("download ")[1],
        "train.jsonl:4": "not valid JSON",
    }


def test_what_needs_arguments_is_read_by_datasets(shown: dict[str, dict[str, Any]]) -> None:
    assert turns(shown["csv with arguments"]) == [("How many, then?", "3")]


def test_a_folder_of_images_is_read_by_datasets(shown: dict[str, dict[str, Any]]) -> None:
    found = shown["imagefolder"]
    assert turns(found) == [("What is it?", "cat"), ("What is it?", "dog")]
    assert images(found) == [image(3 + ord("c")), image(3 + ord("d"))]


def test_a_webdataset_is_read_by_datasets(shown: dict[str, dict[str, Any]]) -> None:
    found = shown["webdataset"]
    assert turns(found) == [("Describe it.", f"caption {number}") for number in range(3)]
    assert images(found) == [image(number) for number in range(3)]


def test_what_is_cached_is_found_without_the_hub_and_fetched_once(hub_of_module: HubServer, tmp_path: Path) -> None:
    before = len(hub_of_module.ranges)
    (first,) = run(hub_of_module, tmp_path, of("owner/parquet"))
    fetched = len(hub_of_module.ranges) - before
    some = of("owner/parquet", hub_splits=["validation"])
    again, part, missing = run(
        hub_of_module, tmp_path, of("owner/parquet"), some, of("owner/lines"), HF_HUB_OFFLINE="1"
    )
    assert again == first
    assert part["records"] == {"val": first["records"]["val"]}
    assert len(hub_of_module.ranges) - before == fetched
    assert missing["error"].startswith(
        "HubError: the dataset owner/lines cannot be fetched from the hub: HF_HUB_OFFLINE"
    )


def test_the_command_line_converts_a_dataset_and_knows_it_again(hub_of_module: HubServer, tmp_path: Path) -> None:
    line = "convert --source hub --repo owner/parquet --images image --prompt question --answer label --workers 1"
    command = [sys.executable, "-m", "phi3v_data.cli", *line.split(), "--out", "out"]
    for more, said in (({}, "out: written"), ({"HF_HUB_OFFLINE": "1"}, "already complete")):
        environment = hub_of_module.environment(tmp_path / "hf", **more)
        done = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    manifest = json.loads((tmp_path / "out/dataset.json").read_text())
    assert {row["split"]: row["written"] for row in manifest["splits"]} == {"train": 3, "val": 2}
    assert manifest["options"]["repo"] == "owner/parquet"


def test_what_cannot_be_had_is_one_line(hub_of_module: HubServer, tmp_path: Path) -> None:
    said = {
        "is made by a script, which is never run here": of("owner/script"),
        "there is no such dataset": of("owner/none"),
        "owner/empty: ": of("owner/empty"),
        "Data files don't belong to owner/elsewhere": of("owner/elsewhere"),
        "has no split 'dev'; there are: train, validation": of("owner/parquet", hub_splits=["dev"]),
        "give --subset NAME": of("owner/subsets", subset="third"),
        "cannot be fetched from the hub: it has no such branch, tag or commit": of("owner/parquet", revision="nowhere"),
    }
    for (words, _), found in zip(said.items(), run(hub_of_module, tmp_path, *said.values()), strict=True):
        assert words in found["error"]
        assert "\n" not in found["error"]
    hub_of_module.refusal = (403, "GatedRepo")
    (gated,) = run(hub_of_module, tmp_path / "gated", of("owner/parquet"))
    hub_of_module.refusal = None
    assert "it is gated; accept its terms" in gated["error"]


def test_an_input_of_ones_own_belongs_to_table(tmp_path: Path) -> None:
    from phi3v_data.converters.sources.hub import Hub
    from phi3v_data.schema.errors import InputError
    from phi3v_data.storage import LocalFolder

    with pytest.raises(InputError, match="--source table"):
        list(Hub(input=LocalFolder(tmp_path), repo="owner/x", prompt=("ask",)).discover())


def test_public_copies_are_fetched_where_no_input_is_given(hub: HubServer, tmp_path: Path) -> None:
    """The forms of the_cauldron, as docvqa, hateful_memes and nlvr2 name them."""
    kinds = {
        "docvqa": ("DocVQA", "May 4.", 1),
        "hateful_memes": ("hateful_memes", "Yes.", 1),
        "nlvr2": ("nlvr2", "Yes.", 2),
    }
    for config, (source, answer, count) in kinds.items():
        data = [{"images": [cell(n) for n in range(count)], "texts": [text("What?", answer, source)]}]
        for number in range(2):
            name = f"{config}/train-{number:05d}-of-00002.parquet"
            hub.add("datasets/HuggingFaceM4/the_cauldron", name, parquet(*data, schema=CAULDRON))
    for found in run(hub, tmp_path, *((config, {}) for config in kinds)):
        assert found["refused"] == {}
        assert [len(records) for records in found["records"].values()] == [2]
    # What was found stays found, and the hub's own library and `datasets` know the files, too.
    assert len(run(hub, tmp_path, ("docvqa", {}), HF_HUB_OFFLINE="1")[0]["records"]["train"]) == 2
    theirs = (
        "import datasets; d = datasets.load_dataset('HuggingFaceM4/the_cauldron', data_dir='docvqa', split='train', "
        "revision='main'); print(len(d), d.column_names)"
    )
    done = subprocess.run(
        [sys.executable, "-c", theirs], env=hub.environment(tmp_path / "hf"), text=True, capture_output=True, check=True
    )
    assert done.stdout.strip() == "2 ['images', 'texts']"
