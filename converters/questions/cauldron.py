"""The form of HuggingFaceM4/the_cauldron, in which many data sets are published alike.

A row has its images, and turns that bring the whole text of the user::

    {"images": [{"bytes": ..., "path": null}],
     "texts": [{"user": "What is the date?\\nAnswer briefly.", "assistant": "May 4.", "source": "DocVQA"}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...schema.errors import ItemError
from ...schema.wording import counted
from ..base import Item
from ..rows import ImageRef, Row
from ..sample import Sample, SampleTurn, failed_item
from .annotations import Form, cell_at, text_at


@dataclass(frozen=True)
class CauldronRows:
    """Rows of one of its configurations."""

    source: str  # what its texts call their source, letters and digits alone, in small letters
    images: int = 1  # how many images a row has
    whole: bool = True  # a record a row, with all its turns; else a record a turn
    hashed: tuple[str, ...] = ("group",)  # names in `meta` that get the hash of the images: rows bring no name
    answers: bool = False  # the answer is in `answers`, too, for a metric that takes the best of several
    own_text: bool = True  # the rows' text is the user's; else it is the `question` of a prompt

    @property
    def form(self) -> Form:
        """How to tell such rows, and to make items of them."""
        return Form(("images", "texts"), lambda values: {"images", "texts"} <= values.keys(), self._items)

    def _items(self, row: Row, split: str, number: int) -> Iterator[Item]:
        shown, texts = cell_at(row.cells(), "images"), cell_at(row.cells(), "texts")
        if not isinstance(shown, list) or len(shown) != self.images:
            has = counted(len(shown), "image") if isinstance(shown, list) else "no list of images"
            raise ItemError(f"{has}; expected {self.images}")
        if not isinstance(texts, list) or not texts:
            raise ItemError("no texts; expected a list of at least one turn")
        if self.whole:
            yield self._item(row, split, f"{number:010d}", "", texts)
            return
        for which, text in enumerate(texts):
            try:
                yield self._item(row, split, f"{number:010d}", f"-{which}", [text])
            except ItemError as error:
                yield failed_item(f"{row.place}, text {which + 1}", split, str(error))

    def _item(self, row: Row, split: str, name: str, suffix: str, texts: list[Any]) -> Item:
        sample = Sample(
            turns=[self._turn(text) for text in texts],
            images=[ImageRef("", row.file, row.number, "images", (which,)) for which in range(self.images)],
            meta={**dict.fromkeys(self.hashed, ""), "row": row.place},
            hashed=dict.fromkeys(self.hashed, 16),
        )
        shared = "" if self.whole else row.place
        return sample.item(f"{split}-{name}{suffix}", split, row.place, f"{split}/{name}", shared)

    def _turn(self, text: Any) -> SampleTurn:
        if not isinstance(text, dict):
            raise ItemError(f"a turn is {text!r}; expected user, assistant and source")
        source = text.get("source")
        if isinstance(source, str) and self.source not in re.sub("[^a-z0-9]", "", source.lower()):
            raise ItemError(f"a turn of another data set, {source!r}; expected {self.source}")
        user, answer = text_at(text, "user"), text_at(text, "assistant")
        return SampleTurn(
            user=user if self.own_text else None,
            values={} if self.own_text else {"question": user},
            assistant=answer,
            answers=[answer] if self.answers else None,
        )
