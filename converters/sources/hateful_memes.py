"""Hateful Memes: is the meme hateful?

One raw sample is one line of `train|dev_seen|dev_unseen|test_seen|test_unseen.jsonl` (`dev.jsonl` and `test.jsonl` in
the first release), beside the folder with the images::

    {"id": 42953, "img": "img/42953.png", "label": 0, "text": "its their character not their color that matters"}

Memes stand in more than one split, under one id or several: dev_seen and dev_unseen overlap. Each such record names the
others in `meta.duplicates`, all of them have the group of the first, their image is stored once, and a line on
standard error says how many there are. Rows of a test split without a label become records to predict on.

HuggingFaceM4/the_cauldron, config hateful_memes (`images`, `texts[{user, assistant, source}]`) is read from Parquet or
Arrow files below the input; its rows have no captions. The records are shown in docs/sources/hateful_memes.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from ...schema.errors import ItemError, UsageError
from ..base import Item, PublicCopy
from ..questions.annotations import FileNames, Form, cell_at, is_table, name_at, text_at
from ..questions.cauldron import CauldronRows
from ..questions.shared_images import with_duplicates_named
from ..questions.source import LabelOption, LabelSource
from ..rows import ImageRef, Row
from ..sample import Sample, SampleTurn


@dataclass(frozen=True, kw_only=True)
class HatefulMemes(LabelSource):
    """Memes, each with the question whether it is hateful."""

    name: ClassVar[str] = "hateful_memes"
    public_copy: ClassVar[PublicCopy] = PublicCopy("HuggingFaceM4/the_cauldron", "hateful_memes/*.parquet")
    published: ClassVar[re.Pattern[str]] = re.compile(r"(train|(dev|test)(_seen|_unseen)?)\.jsonl")
    expected: ClassVar[str] = (
        "train|dev_seen|dev_unseen|test_seen|test_unseen.jsonl beside img/, or Parquet or Arrow files of the_cauldron "
        "(hateful_memes)"
    )
    prompt_names: ClassVar[Sequence[str]] = ["text", "question"]

    caption: Annotated[bool, "give the meme's text in the prompt"] = False
    prompt: Annotated[
        tuple[str, ...],
        "Jinja templates of the user's text, over `text`, the meme's (of the_cauldron: `question`, its row's own "
        "text, which is also the default); one is drawn for each record",
    ] = ()
    label: LabelOption = ("0=No", "1=Yes")

    def __post_init__(self) -> None:
        if self.caption and self.prompt:
            raise UsageError("--caption is for the default prompt; in one of your own, say where: {{ text }}")
        super().__post_init__()

    @property
    def default_prompt(self) -> str:
        """The template where no prompt is given."""
        question = f"Is this meme hateful? Answer {self.choice(last_first=True)}."
        return f'The text on this meme: "{{{{ text }}}}"\n{question}' if self.caption else question

    def forms(self, files: FileNames) -> list[Form]:
        """List the forms that a file may have."""
        cauldron = CauldronRows("hatefulmemes", own_text=not self.prompt)
        columns = ("id", "img", "label", "text")
        return [Form(columns, lambda values: "img" in values, partial(self._challenge, files)), cauldron.form]

    def items(self, files: FileNames, annotations: Mapping[str, str]) -> Iterator[Item]:
        """Find every meme; those in several splits name one another."""
        table = next(filter(is_table, annotations), None)
        if self.caption and table:
            raise UsageError(f"{table}: the rows of the_cauldron have no captions; leave out --caption")
        return with_duplicates_named(self.input, files, partial(super().items, files, annotations))

    def _challenge(self, files: FileNames, row: Row, split: str, number: int) -> list[Item]:
        values = row.cells()
        identity = name_at(values, "id")
        image = files.find(text_at(values, "img"), beside=row.file)
        text = cell_at(values, "text")
        if not isinstance(text, str):
            raise ItemError(f"'text' is {text!r}; expected a text")
        answer, label = self.answer_to(row, split)
        sample = Sample(
            turns=[SampleTurn(values={"text": text}, assistant=answer)],
            images=[ImageRef(image)],
            meta={"group": identity, **label, "text": text, "images": [image]},
        )
        stem = image.removesuffix(PurePosixPath(image).suffix)
        return [sample.item(f"{split}-{identity}", split, row.place, stem, image)]
