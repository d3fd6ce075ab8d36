"""Small datasets to choose from: labelled records in splits, each with an image of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.layout import IMAGES, LEFT_OUT, LeftOut
from phi3v_data.schema.record import Record
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.select.selection import Selected, Selection, select
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder


def drawing(seed: int) -> Drawing:
    return Drawing("PNG", 16, 12, seed=seed)


def labelled(folder: Path, splits: Mapping[str, int], labels: Sequence[str] = ("cat", "dog")) -> Path:
    """Write a dataset of so many records a split, whose labels take turns."""
    files: dict[str, str | bytes | Drawing] = {}
    number = 0
    for split, count in splits.items():
        lines = []
        for place in range(count):
            label = labels[place % len(labels)]
            lines.append(
                line(f"{split}-{place}", images=[f"{split}/{place}.png"], assistant=label, meta={"label": label})
            )
            files[f"{IMAGES}/{split}/{place}.png"] = drawing(number)
            number += 1
        files[f"made_{split}.jsonl"] = "".join(f"{each}\n" for each in lines)
    Example(files).write(folder)
    return folder


def in_shards(folder: Path, source: Path) -> str:
    """Write the records of a dataset into shards, and return their address."""
    dataset = open_dataset(str(source))
    for split in dataset.splits:
        columns = ["0.png"]
        with ShardWriter(LocalFolder(folder), "made", split, size=1 << 14, columns=columns) as writer:
            for record in dataset.records(split):
                images = [dataset.folder.read(f"{IMAGES}/{name}") for name in record.images()]
                writer.add(Sample(msgspec.json.encode(record), images))
    return f"{folder}/shards/*.tar"


def choose(out: Path | str, *data: Path | str, selection: Selection | None = None) -> Selected:
    datasets = [(str(each), open_dataset(str(each))) for each in data]
    return select(datasets, str(out), selection or Selection())


def records(folder: Path) -> dict[str, list[Record]]:
    dataset = open_dataset(str(folder))
    return {split: list(dataset.records(split)) for split in dataset.splits}


def ids_by_split(folder: Path) -> dict[str, list[str]]:
    return {split: [record.id for record in found] for split, found in records(folder).items()}


def left_out(folder: Path) -> list[LeftOut]:
    return [msgspec.json.decode(each, type=LeftOut) for each in (folder / LEFT_OUT).read_bytes().splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file that is not hidden, with its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(".")}
