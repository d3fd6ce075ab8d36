"""Conversations in LLaVA, ShareGPT, OpenAI or TRL files: one or more questions about images, each with its answer.

One raw sample is one row of a JSON, JSONL, Parquet or Arrow file; each says its form by its keys::

    {"id": "000000033471", "image": "coco/train2017/000000033471.jpg",
     "conversations": [{"from": "human", "value": "<image>\\nWhat are the colors of the bus in the image?"},
                       {"from": "gpt", "value": "The bus in the image is white and red."},
                       {"from": "human", "value": "What feature can be seen on the back of the bus?"},
                       {"from": "gpt", "value": "The back of the bus features an advertisement."}]}

It becomes a record of as many turns::

    {"id": "000000033471", "source": "chat",
     "conversations": [{"images": ["coco/train2017/000000033471.jpg"],
                        "user": "What are the colors of the bus in the image?",
                        "assistant": "The bus in the image is white and red."},
                       {"images": [], "user": "What feature can be seen on the back of the bus?",
                        "assistant": "The back of the bus features an advertisement."}]}

What the other forms look like, and the rules for marks, system messages and images: docs/sources/chat.md. What
`export-data` writes comes back as the records it was made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...schema.errors import InputError, ItemError
from ...schema.record import Record, Turn
from ...storage import Folder, check_readable
from ..base import ImageSink, Item
from ..chat.images import ImageNames, ImageSet, check_image, read_image
from ..chat.messages import Cell, ImageRef
from ..chat.rows import ChatRow, read_chat
from ..chat.turns import Misplaced, Rules
from ..rows import Row, RowImages, read_rows
from ..splits import Ratios, SplitRatio, parse_ratios

__all__ = ["Chat"]

_SUFFIXES = (".json", ".jsonl", ".parquet", ".arrow")


class _Found(msgspec.Struct, omit_defaults=True):
    """What discovery knows of a row: a record, its images by the names they will be stored under, and its place."""

    turns: list[tuple[list[str], str, str]]
    answers: list[list[str] | None]
    images: dict[str, ImageRef]
    file: str
    row: int
    source: str | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET


@dataclass(frozen=True)
class Chat:
    """Conversations about images in LLaVA, ShareGPT, OpenAI or TRL files."""

    name: ClassVar[str] = "chat"

    input: Folder
    files: Annotated[
        tuple[str, ...],
        Meta(
            description="files of rows, such as train=mix665k.json, or val.jsonl, which is named for its split; every "
            ".json, .jsonl, .parquet and .arrow directly in the input where empty"
        ),
    ] = ()
    image_folder: Annotated[
        str, Meta(description="folder in the input that the paths of images start from; the input itself where empty")
    ] = ""
    ids: Annotated[
        Literal["own", "number"], Meta(description="whether records keep the ids of their rows, or are numbered")
    ] = "own"
    system: Annotated[
        Misplaced,
        Meta(description="a system message is put in front of the first question (front), or its row refused"),
    ] = "front"
    marks: Annotated[
        Misplaced,
        Meta(description="an image after its text is moved to the front of its turn (front), or its row refused"),
    ] = "front"
    split_ratio: Annotated[SplitRatio, Meta(description="(where empty, a file is a split)")] = ""

    def __post_init__(self) -> None:
        """Refuse a ratio that is none before anything is read."""
        self._ratios  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every row: file by file, numbered through.

        Raises:
            InputError: there is no such file, or none at all.
        """
        check_readable(self.input)
        names, number = ImageNames(), 0
        for split, file in self._splits_and_files():
            for row in read_rows(self.input, file):
                yield self._item(split, file, row, number, names)
                number += 1

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Store the images of a row and make its turns.

        Raises:
            ItemError: an image is missing.
            MediaError: an image is damaged.
        """
        found = msgspec.convert(item.data, _Found)
        stored = {name: images.keep(name, partial(self._read, found, image)) for name, image in found.images.items()}
        turns = [
            Turn(images=[stored[name] for name in names], user=user, assistant=assistant, answers=answers or UNSET)
            for (names, user, assistant), answers in zip(found.turns, found.answers, strict=True)
        ]
        return Record(id=item.id, source=found.source, conversations=turns, meta=found.meta)

    def _read(self, found: _Found, image: ImageRef) -> bytes:
        if isinstance(image, Cell):
            return self._cells.read(found.file, found.row, image.column, image.which)
        return read_image(self.input, self.image_folder, image)

    def _item(self, file_split: str, file: str, row: Row, number: int, names: ImageNames) -> Item:
        try:
            chat = self._chat(row)
        except ItemError as error:
            numbered = f"{file_split}-{number:010d}"
            nothing = f"{file_split}/text-{number:010d}"
            return Item(id=numbered, split=file_split, path=row.place, images=nothing, failure=str(error))
        split = self._ratios.split_of(_group(chat)) if self._ratios else file_split
        numbered = f"{split}-{number:010d}"
        images = list(dict.fromkeys(image for turn in chat.turns for image in turn.images))
        kept = names.name(images, f"{split}/{number:010d}") if images else ImageSet(f"{split}/text-{number:010d}")
        name_of = dict(zip(images, kept.names, strict=True))
        found = _Found(
            [([name_of[image] for image in shown], user, assistant) for shown, user, assistant in chat.turns],
            chat.answers,
            dict(zip(kept.names, images, strict=True)),
            file,
            row.number,
            chat.source,
            chat.meta,
        )
        return Item(
            id=chat.id if chat.id and self.ids == "own" else numbered,
            split=split,
            path=row.place,
            images=kept.prefix,
            data=msgspec.to_builtins(found),
            shared=kept.shared,
        )

    def _chat(self, row: Row) -> ChatRow:
        if row.values is None:
            raise ItemError(row.failure)
        chat = read_chat(row.values, Rules(self.system, self.marks), self.name)
        for turn in chat.turns:
            for image in turn.images:
                check_image(image)
        return chat

    def _splits_and_files(self) -> list[tuple[str, str]]:
        given = [text.partition("=") for text in self.files]
        if given:
            return [(split, file) if equals else (_split_of(split), split) for split, equals, file in given]
        beside = [entry.name for entry in self.input.list() if not entry.is_folder]
        found = [(_split_of(name), name) for name in beside if name.endswith(_SUFFIXES)]
        if not found:
            raise InputError(
                f"{self.input.address}: no {', '.join(_SUFFIXES)} file directly in it; expected one a split, such as "
                "train.json, or name them: --files train=annotations/mix665k.json"
            )
        return found

    @cached_property
    def _cells(self) -> RowImages:
        return RowImages(self.input)

    @cached_property
    def _ratios(self) -> Ratios | None:
        return parse_ratios(self.split_ratio) if self.split_ratio else None


def _group(chat: ChatRow) -> str:
    """Return what must not be parted: its group where it has one, else its first image, else itself."""
    group = chat.meta.get("group") if isinstance(chat.meta, dict) else None
    first = next((image for turn in chat.turns for image in turn.images if isinstance(image, str)), None)
    return group if isinstance(group, str) else first or msgspec.json.encode(chat.turns).decode()


def _split_of(file: str) -> str:
    """Name the split of a file: train.jsonl and train-00000-of-00002.parquet are of the split train."""
    return re.sub(r"-\d+-of-\d+$", "", PurePosixPath(file).stem)
