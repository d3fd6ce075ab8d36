"""Conversations in LLaVA, ShareGPT, OpenAI, TRL or Alpaca files: questions about images, each with its answer.

One raw sample is one row of a JSON, JSONL, Parquet or Arrow file; each says its form by its keys::

    {"id": "000000033471", "image": "coco/train2017/000000033471.jpg",
     "conversations": [{"from": "human", "value": "<image>\\nWhat are the colors of the bus in the image?"},
                       {"from": "gpt", "value": "The bus in the image is white and red."},
                       {"from": "human", "value": "What feature can be seen on the back of the bus?"},
                       {"from": "gpt", "value": "The back of the bus features an advertisement."}]}

It becomes a record of as many turns. The other forms, and the rules for marks, system messages and images, are in
docs/sources/chat.md. What `export-data` writes comes back as the records it was made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from msgspec.structs import replace

from ...schema.errors import InputError, ItemError
from ...schema.splits import file_stem, split_of_file
from ...storage import check_readable
from ..base import Item
from ..chat.rows import ImageNames, Misplaced, group_of, read_chat
from ..rows import Row, read_rows
from ..sample import SampleSource
from ..splits import Ratios, SplitRatio, parse_ratios


@dataclass(frozen=True, kw_only=True)
class Chat(SampleSource):
    """Conversations about images in LLaVA, ShareGPT, OpenAI, TRL or Alpaca files."""

    name: ClassVar[str] = "chat"
    takes_files: ClassVar[tuple[str, ...]] = (".json", ".jsonl", ".parquet", ".arrow")

    files: Annotated[
        tuple[str, ...],
        "files of rows, such as train=mix665k.json, or val.jsonl, which is named for its split; every .json, .jsonl, "
        ".parquet and .arrow directly in the input where empty",
    ] = ()
    image_folder: Annotated[
        str, "folder in the input that the paths of images start from; the input itself where empty"
    ] = ""
    ids: Annotated[Literal["own", "number"], "whether records keep the ids of their rows, or are numbered"] = "own"
    system: Annotated[
        Misplaced, "what becomes of a system message: put in front of the first question, or its row refused"
    ] = "front"
    marks: Annotated[
        Misplaced, "what becomes of an image after its text: moved to the front of its turn, or its row refused"
    ] = "front"
    split_ratio: Annotated[SplitRatio, "(where empty, a file is a split)"] = ""

    def __post_init__(self) -> None:
        self._ratios  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every row: file by file, numbered through; raises InputError where there is no such file."""
        names, number = ImageNames(), 0
        for split, file in self._splits_and_files():
            for row in read_rows(self.place.folder, file):
                yield self._item(split, row, number, names)
                number += 1

    def _item(self, file_split: str, row: Row, number: int, names: ImageNames) -> Item:
        try:
            given_id, sample = read_chat(row, self.system, self.marks)
        except ItemError as error:
            numbered = f"{file_split}-{number:010d}"
            nothing = f"{file_split}/text-{number:010d}"
            return Item(id=numbered, split=file_split, path=row.place, images=nothing, failure=str(error))
        split = self._ratios.split_of(group_of(sample)) if self._ratios else file_split
        own_prefix = f"{split}/{'' if sample.images else 'text-'}{number:010d}"
        stored_as, shared = names.name(sample.images, own_prefix)
        above = f"{self.image_folder}/" if self.image_folder else ""
        located = [replace(image, path=above + image.path) if image.is_file else image for image in sample.images]
        sample = replace(sample, names=stored_as, images=located)
        record_id = given_id if given_id and self.ids == "own" else f"{split}-{number:010d}"
        return sample.item(record_id, split, row.place, shared or own_prefix, shared)

    def _splits_and_files(self) -> list[tuple[str, str]]:
        folder, only = self.place
        if self.files:
            given = [text.partition("=") for text in self.files]
            return [(split, file) if equals else (_split_of(split), split) for split, equals, file in given]
        if only:
            return [(split_of_file(only), only)]
        check_readable(folder)
        beside = [entry.name for entry in folder.list() if not entry.is_folder]
        found = [(_split_of(name), name) for name in beside if name.endswith(self.takes_files)]
        if not found:
            raise InputError(
                f"{folder.address}: no {', '.join(self.takes_files)} file directly in it; expected one for each split, "
                "such as train.json, or name them: --files train=annotations/mix665k.json"
            )
        return found

    @cached_property
    def _ratios(self) -> Ratios | None:
        return parse_ratios(self.split_ratio) if self.split_ratio else None


def _split_of(file: str) -> str:
    """Name the split of a file: what is its name, where that names no known split."""
    return split_of_file(file, default=file_stem(file))
