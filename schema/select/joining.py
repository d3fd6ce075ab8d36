"""Several datasets as one: each has a name, and where there are several, it stands before their ids and image paths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ..dataset import Dataset
from ..record import Record
from ..splits import file_stem

# A name is a folder in images/: of plain characters, whatever an address holds.
_ODD = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class Input:
    """A dataset that is read.

    Args:
        address: as it was given.
        dataset: what lies there.
        name: short, and no other input's.
        apart: whether its ids and image paths begin with the name.
    """

    address: str
    dataset: Dataset
    name: str
    apart: bool

    def image_name(self, name: str) -> str:
        """Return the path of an image in the new dataset."""
        return f"{self.name}/{name}" if self.apart else name

    def id_of(self, identity: str) -> str:
        """Return the id of a record in the new dataset."""
        return f"{self.name}/{identity}" if self.apart else identity

    def renamed(self, record: Record) -> Record:
        """Return a record as it stands in the new dataset; the same one where nothing has to be kept apart."""
        if not self.apart:
            return record
        turns = [replace(turn, images=[self.image_name(name) for name in turn.images]) for turn in record.conversations]
        return replace(record, id=self.id_of(record.id), conversations=turns)


def named_inputs(datasets: Sequence[tuple[str, Dataset]]) -> list[Input]:
    """Name datasets, each given with its address: by its folder or file, numbered where two are called the same."""
    names: list[str] = []
    for address, _ in datasets:
        name = _name_of(address)
        number = 1
        while (f"{name}-{number}" if number > 1 else name) in names:
            number += 1
        names.append(f"{name}-{number}" if number > 1 else name)
    apart = len(datasets) > 1
    return [Input(address, dataset, name, apart) for (address, dataset), name in zip(datasets, names, strict=True)]


def source_of_all(inputs: Sequence[Input]) -> str:
    """Return the source that the new dataset is called by: that of its inputs, or `joined` where they differ."""
    sources = {_source_of(each) for each in inputs}
    return sources.pop() if len(sources) == 1 else "joined"


def _source_of(source: Input) -> str:
    if source.dataset.manifest is not None:
        return source.dataset.manifest.source
    stems = {_without_split(file_stem(_plain(name)), split) for split, name in source.dataset.files.items()}
    stem = stems.pop() if len(stems) == 1 else ""
    return _clean(stem) or source.name


def _without_split(stem: str, split: str) -> str:
    for end in (split, "validation", "valid"):
        if stem.endswith((f"_{end}", f"-{end}")):
            return stem[: -len(end) - 1]
    return ""


def _name_of(address: str) -> str:
    parts = [part for part in address.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    last = _plain(parts[-1]) if parts else ""
    return _clean(file_stem(last) if last.endswith((".jsonl", ".tar")) else last) or "data"


def _plain(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".zst")


def _clean(name: str) -> str:
    return _ODD.sub("_", name).strip("._-")
