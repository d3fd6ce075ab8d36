"""A small source for the tests of shared images and of rows that are none: questions about pages, several a page.

Its input is `questions.jsonl`, a row a question: `{"split": ..., "page": ..., "does": ...}`, beside `pages/`. A
row that is not valid JSON is a failure. Every read of a page is noted in `reads.log`, every conversion in `work.log`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar

from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.schema.errors import ItemError
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import Folder, LocalFolder


@dataclass(frozen=True)
class Questions:
    """Questions about pages."""

    name: ClassVar[str] = "questions"
    input: Folder

    def discover(self) -> Iterator[Item]:
        with self.input.open("questions.jsonl") as rows:
            yield from map(self._item, rows, count(1))

    def _item(self, line: bytes, number: int) -> Item:
        place = f"questions.jsonl:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            failure = f"not valid JSON\n({error})"
            return Item(id=place, split="train", path=place, images="../outside", shared="page", failure=failure)
        return Item(
            id=f"q{number:04d}",
            split=row.get("split", "train"),
            path=place,
            images=row.get("prefix", f"pages/{row['page']}"),
            shared=row.get("shared", row["page"]),
            data=row,
        )

    def convert(self, item: Item, images: ImageSink) -> Record:
        self._note("work.log", item.path)
        shown = [images.keep(item.images, self._reading(item.data["page"]))]
        if item.data.get("does") == "show the back":
            shown.append(images.keep(f"{item.images}.back", self._reading("back")))
        if item.data.get("does") == "fail":
            images.keep(f"{item.images}.back", self._reading("back"))
            raise ItemError("there is no answer")
        turn = Turn(images=shown, user="What does the page say?", assistant=item.id)
        return Record(id=item.id, source=self.name, conversations=[turn])

    def _reading(self, page: str) -> Callable[[], bytes]:
        def read() -> bytes:
            self._note("reads.log", page)
            return self.input.read(f"pages/{page}")

        return read

    def _note(self, log: str, line: str) -> None:
        if isinstance(self.input, LocalFolder):
            with Path(self.input.path / log).open("a") as stream:
                stream.write(f"{line}\n")
