"""The form of HuggingFaceM4/the_cauldron, in which many data sets are published alike.

A row has its images, and turns that bring the whole text of the user::

    {"images": [{"bytes": ..., "path": null}],
     "texts": [{"user": "What is the date?\\nAnswer briefly.", "assistant": "May 4.", "source": "DocVQA"}]}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...schema.errors import ItemError
from ...schema.wording import counted
from ..base import Item
from .fields import cell_at, text_at
from .forms import RawRow, faulty
from .questions import Cell, Question, Sample

__all__ = ["CauldronForm"]


@dataclass(frozen=True)
class CauldronForm:
    """Rows of one of its configurations.

    Args:
        source: what its texts call their source, letters and digits alone, in small letters.
        images: how many images a row has.
        whole: a record a row, with all its turns; else a record a turn.
        hashed: the names in `meta` that get the hash of the images: its rows bring no name of their own.
        answers: the answer stands in `answers`, too, for a metric that takes the best of several.
    """

    columns: ClassVar[Sequence[str]] = ("images", "texts")

    source: str
    images: int = 1
    whole: bool = True
    hashed: tuple[str, ...] = ("group",)
    answers: bool = False

    def knows(self, values: dict[str, Any]) -> bool:
        """Tell whether a row may be of this form."""
        return all(column in values for column in self.columns)

    def items(self, row: RawRow) -> list[Item]:
        """Make one item of a row, or one of each of its turns."""
        shown, texts = cell_at(row.values, "images"), cell_at(row.values, "texts")
        if not isinstance(shown, list) or len(shown) != self.images:
            has = counted(len(shown), "image") if isinstance(shown, list) else "no list of images"
            raise ItemError(f"{has}; expected {self.images}")
        if not isinstance(texts, list) or not texts:
            raise ItemError("no texts; expected a list of at least one turn")
        if self.whole:
            return [self._item(row, "", [self._question(text) for text in texts])]
        found = []
        for number, text in enumerate(texts):
            try:
                found.append(self._item(row, f"-{number}", [self._question(text)]))
            except ItemError as error:
                found.append(faulty(f"{row.place}, text {number}", row.file.split, str(error)))
        return found

    def _question(self, text: Any) -> Question:
        if not isinstance(text, dict):
            raise ItemError(f"a turn is {text!r}; expected user, assistant and source")
        source = text.get("source")
        if isinstance(source, str) and self.source not in re.sub("[^a-z0-9]", "", source.lower()):
            raise ItemError(f"a turn of another data set, {source!r}; expected {self.source}")
        answer = text_at(text, "assistant")
        return Question(
            values={"question": text_at(text, "user")}, assistant=answer, answers=[answer] if self.answers else []
        )

    def _item(self, row: RawRow, suffix: str, questions: list[Question]) -> Item:
        split = row.file.split
        cells: list[str | Cell] = [Cell(row.file.name, row.number, "images", n) for n in range(self.images)]
        sample = Sample(
            images=cells, questions=questions, meta={"row": row.place}, hashed=[*self.hashed], own_words=True
        )
        return Item(
            id=f"{split}-{row.running:010d}{suffix}",
            split=split,
            path=row.place,
            images=f"{split}/{row.running:010d}",
            data=sample.as_data(),
            shared="" if self.whole else row.place,
        )
