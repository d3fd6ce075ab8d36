"""NLVR2: is the sentence true of the two photographs?

One raw sample is one line of `{train,dev,test1}.json`, about a pair of images that lie anywhere below the input under
the names that follow from the identifier, `dev-850-0-img0.png` (left) and `dev-850-0-img1.png` (right)::

    {"sentence": "The right image shows a curving walkway of dark glass circles embedded in dirt and flanked by
     foliage.", "label": "False", "identifier": "dev-850-0-0", "left_url": "https://...", "right_url": "https://...",
     "validation": {"61": "False"}, "writer": "61", "synset": "beer bottle", "query": "some beer bottles38"}

The parts of an identifier are the split, the image set, the pair and the sentence; the record, which
docs/sources/nlvr2.md shows, has them in `meta`, for the metrics `consistency` and `sentence_consistency`.

HuggingFaceM4/the_cauldron, config nlvr2 (`images`, `texts[{user, assistant, source}]`, a pair a row) is read from
Parquet or Arrow files below the input. It has lost the identifiers: pair and group are the hash of the two images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

from ...schema.errors import ItemError
from ..base import Item, PublicCopy
from ..questions.annotations import FileNames, Form, is_identified, name_at, text_at
from ..questions.cauldron import CauldronRows
from ..questions.shared_images import conversations
from ..questions.source import LabelOption, LabelSource
from ..rows import ImageRef, Row
from ..sample import Sample, SampleTurn

_IDENTIFIER = re.compile(r"(?P<set>(?P<split>[a-z0-9]+)-\d+)-\d+-(?P<sentence>\d+)")


@dataclass(frozen=True, kw_only=True)
class NLVR2(LabelSource):
    """Statements about two photographs, true or false."""

    name: ClassVar[str] = "nlvr2"
    public_copy: ClassVar[PublicCopy] = PublicCopy("HuggingFaceM4/the_cauldron", "nlvr2/*.parquet")
    published: ClassVar[re.Pattern[str]] = re.compile(r"(train|dev|test1|test2)\.json")
    expected: ClassVar[str] = (
        "train.json, dev.json or test1.json with images <split>-<set>-<pair>-img0.png and -img1.png, or Parquet or "
        "Arrow files of the_cauldron (nlvr2)"
    )
    prompt_names: ClassVar[Sequence[str]] = ["sentence", "question"]

    turns: Annotated[
        Literal["statement", "pair"],
        "a record for each statement, or one conversation a pair with its images in the first turn",
    ] = "statement"
    prompt: Annotated[
        tuple[str, ...],
        "Jinja templates of the user's text, over `sentence` (of the_cauldron: `question`, its row's own text, which "
        "is also the default); one is drawn for each record",
    ] = ()
    label: LabelOption = ("True=True", "False=False")

    @property
    def default_prompt(self) -> str:
        """The template where no prompt is given."""
        return f"{{{{ sentence }}}}\nIs this statement about the two images true? Answer {self.choice()}."

    def forms(self, files: FileNames) -> list[Form]:
        """List the forms that a file may have."""
        whole, own_text = self.turns == "pair", not self.prompt
        cauldron = CauldronRows("nlvr2", images=2, whole=whole, hashed=("group", "pair"), own_text=own_text)
        columns = ("identifier (dev-850-0-0)", "sentence", "label")
        return [Form(columns, partial(is_identified, _IDENTIFIER), partial(self._published, files)), cauldron.form]

    def items(self, files: FileNames, annotations: Mapping[str, str]) -> Iterator[Item]:
        """Find every statement; those about a pair are joined where that is asked for."""
        items = super().items(files, annotations)
        return conversations(items, lambda item: item.shared or item.id) if self.turns == "pair" else items

    def _published(self, files: FileNames, row: Row, split: str, number: int) -> list[Item]:
        values = row.cells()
        identifier = name_at(values, "identifier")
        found = _IDENTIFIER.fullmatch(identifier)
        if found is None:
            raise ItemError(f"the identifier {identifier!r}; expected <split>-<set>-<pair>-<sentence>, as dev-850-0-0")
        if found["split"] != split:
            raise ItemError(f"{identifier!r} is of the split {found['split']}; it has no place in {split}")
        pair = identifier.rpartition("-")[0]
        images = [files.find(f"{pair}-img{side}.png", beside=row.file) for side in (0, 1)]
        answer, label = self.answer_to(row, split)
        sentence = f"{found['set']}--{found['sentence']}"
        sample = Sample(
            turns=[SampleTurn(values={"sentence": text_at(values, "sentence")}, assistant=answer)],
            images=[ImageRef(image) for image in images],
            meta={"group": found["set"], "pair": pair, "sentence": sentence, **label, "images": images},
        )
        return [sample.item(identifier, split, row.place, f"{split}/{pair}", pair)]
