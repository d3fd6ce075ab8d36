"""NLVR, the first corpus: is the sentence true of the three boxes?

One raw sample is one line of `{train,dev,test}.json`. Its image shows three boxes side by side, and lies below the
file six times, once in each order of the boxes: `images/<directory>/dev-1572-0-<0 to 5>.png`::

    {"sentence": "Each grey box contains atleast one yellow object touching the edge", "label": "true",
     "identifier": "1572-0", "directory": "2", "evals": {"r1": "true", ...}, "structured_rep": [[...], [...], [...]]}

It becomes one record for each order asked for; docs/sources/nlvr.md shows one. The first part of an identifier is the
sentence, which was written for a set of images: the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.errors import ItemError
from ..base import Item
from ..questions.annotations import FileNames, Form, is_identified, name_at, text_at
from ..questions.source import LabelOption, LabelSource
from ..rows import ImageRef, Row
from ..sample import Sample, SampleTurn, failed_item

_IDENTIFIER = re.compile(r"(\d+)-\d+")


@dataclass(frozen=True, kw_only=True)
class NLVR(LabelSource):
    """Statements about drawings of three boxes, true or false."""

    name: ClassVar[str] = "nlvr"
    published: ClassVar[re.Pattern[str]] = re.compile(r"(train|dev|test)\.json")
    expected: ClassVar[str] = (
        "train.json, dev.json or test.json beside images/<directory>/<split>-<identifier>-<permutation>.png"
    )
    tables: ClassVar[bool] = False
    prompt_names: ClassVar[Sequence[str]] = ["sentence"]

    permutation: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=5)], ...],
        Meta(min_length=1),
        "orders of the boxes, 0 to 5; a record for each",
    ] = (0,)
    prompt: Annotated[
        tuple[str, ...], "Jinja templates of the user's text, over `sentence`; one is drawn for each record"
    ] = ()
    label: LabelOption = ("true=True", "false=False")

    @property
    def default_prompt(self) -> str:
        """The template where no prompt is given."""
        return f"{{{{ sentence }}}}\nIs this statement about the image true? Answer {self.choice()}."

    def forms(self, files: FileNames) -> list[Form]:
        """List the forms that a file may have."""
        columns = ("identifier (1572-0)", "sentence", "label", "directory")
        return [Form(columns, partial(is_identified, _IDENTIFIER), partial(self._published, files))]

    def _published(self, files: FileNames, row: Row, split: str, number: int) -> Iterator[Item]:
        values = row.cells()
        identifier = name_at(values, "identifier")
        found = _IDENTIFIER.fullmatch(identifier)
        if found is None:
            raise ItemError(f"the identifier {identifier!r}; expected <sentence>-<image>, as 1572-0")
        answer, label = self.answer_to(row, split)
        turn = SampleTurn(values={"sentence": text_at(values, "sentence")}, assistant=answer)
        meta = {"group": f"{split}-{found[1]}", **label}
        folder = f"images/{name_at(values, 'directory')}"
        for permutation in self.permutation:
            name = f"{split}-{identifier}-{permutation}"
            try:
                image = files.find(f"{folder}/{name}.png", beside=row.file)
            except ItemError as error:
                yield failed_item(f"{row.place}, permutation {permutation}", split, str(error))
                continue
            sample = Sample(turns=[turn], images=[ImageRef(image)], meta={**meta, "images": [image]})
            yield sample.item(name, split, row.place, f"{split}/{name}")
