"""Questions about images: what an item carries from its raw row, and the record that it becomes."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from ...schema.errors import MediaError
from ...schema.record import Record, Turn
from ...storage import Folder
from ..base import ImageSink, Item
from ..prompts import Prompts
from ..rows import RowImages

__all__ = ["Asker", "Cell", "Question", "Sample", "sample_of"]


class Cell(msgspec.Struct, frozen=True):
    """An image inside a table.

    Args:
        file: the table.
        row: the row in it, from 0.
        column: the column.
        which: its place in the cell, where that is a list.
    """

    file: str
    row: int
    column: str
    which: int = 0


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn.

    Args:
        values: what the prompt's template may name.
        assistant: the answer that is trained on, "" where there is none.
        answers: every acceptable answer.
    """

    values: dict[str, Any]
    assistant: str
    answers: list[str] = []


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an item carries as its `data`.

    Args:
        images: the raw images, all shown in the first turn: paths in the input, or cells of its tables.
        questions: the turns.
        meta: of the record.
        hashed: the names in `meta` that get the hash of the images' bytes: what the raw data has no name for.
        own_words: the rows bring the user's whole text; the source's default prompt is not for them.
    """

    images: list[str | Cell]
    questions: list[Question]
    meta: dict[str, Any] = {}
    hashed: list[str] = []
    own_words: bool = False

    def as_data(self) -> dict[str, Any]:
        """Return it as an item carries it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def sample_of(item: Item) -> Sample:
    """Read an item's data."""
    return msgspec.convert(item.data, Sample)


class Asker:
    """Makes records of items; one a worker.

    Args:
        folder: the input.
        source: the converter's name.
        prompts: the templates.
        own_words: the templates for rows that bring the user's whole text.
    """

    def __init__(self, folder: Folder, source: str, prompts: Prompts, own_words: Prompts) -> None:
        self._folder = folder
        self._source = source
        self._prompts = {False: prompts, True: own_words}
        self._cells = RowImages(folder)

    def record(self, item: Item, images: ImageSink) -> Record:
        """Show an item's images and ask its questions.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: an image is missing or damaged.
        """
        sample = sample_of(item)
        prompts = self._prompts[sample.own_words]
        users = [prompts.render(item.id, question.values) for question in sample.questions]
        meta = dict(sample.meta)
        if sample.hashed:
            raw = b"".join(map(self._read, sample.images))
            meta = {**dict.fromkeys(sample.hashed, hashlib.sha256(raw).hexdigest()[:16]), **meta}
        shown = [
            images.keep(f"{item.images}.{number}", partial(self._read, image))
            for number, image in enumerate(sample.images)
        ]
        turns = [
            Turn(
                images=[] if number else shown,
                user=user,
                assistant=question.assistant,
                answers=question.answers or UNSET,
            )
            for number, (user, question) in enumerate(zip(users, sample.questions, strict=True))
        ]
        return Record(id=item.id, source=self._source, conversations=turns, meta=meta)

    def _read(self, image: str | Cell) -> bytes:
        if isinstance(image, Cell):
            return self._cells.read(image.file, image.row, image.column, image.which)
        try:
            return self._folder.read(image)
        except FileNotFoundError:
            raise MediaError(f"{image}: no such image, though it was there before") from None
