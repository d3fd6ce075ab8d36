"""Hateful Memes: is the meme hateful?

One raw sample is one line of `train|dev_seen|dev_unseen|test_seen|test_unseen.jsonl` (`dev.jsonl` and `test.jsonl` in
the first release), beside the folder with the images::

    {"id": 42953, "img": "img/42953.png", "label": 0, "text": "its their character not their color that matters"}

It becomes one record::

    {"id": "train-42953", "source": "hateful_memes",
     "conversations": [{"images": ["img/42953.0.png"], "user": "Is this meme hateful? Answer Yes or No.",
                        "assistant": "No"}],
     "meta": {"group": "42953", "label": "0", "text": "its their ...", "images": ["img/42953.png"]}}

Memes stand in more than one split, under one id or several: dev_seen and dev_unseen overlap. Each such record names the
others in `meta.duplicates`, all of them have the group of the first, their image is stored once, and a line on
standard error says how many there are.

Rows of a test split may have no label, as in the first release: they become records to predict on.

HuggingFaceM4/the_cauldron, config hateful_memes (`images`, `texts[{user, assistant, source}]`) is read from Parquet or
Arrow files below the input; its rows have no captions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from ...schema.errors import ItemError, UsageError
from ...schema.record import Record
from ...storage import Folder, check_readable
from ..base import ImageSink, Item, PublicCopy
from ..prompts import Prompts
from ..questions.cauldron import CauldronForm
from ..questions.duplicates import find_duplicates
from ..questions.fields import cell_at, name_at, text_at
from ..questions.files import FileNames
from ..questions.forms import Form, RawRow, annotation_files, find_items, is_table
from ..questions.labels import LabelAnswers
from ..questions.questions import Asker, Question, Sample

__all__ = ["HatefulMemes"]

_PUBLISHED = re.compile(r"(train|dev|dev_seen|dev_unseen|test|test_seen|test_unseen)\.jsonl")
_EXPECTED = (
    "train|dev_seen|dev_unseen|test_seen|test_unseen.jsonl beside img/, or Parquet or Arrow files of the_cauldron "
    "(hateful_memes)"
)
_PROMPT = "Is this meme hateful? Answer Yes or No."
_WITH_CAPTION = 'The text on this meme: "{{ text }}"\n' + _PROMPT


@dataclass(frozen=True)
class HatefulMemes:
    """Memes, each with the question whether it is hateful."""

    name: ClassVar[str] = "hateful_memes"
    public_copy: ClassVar[PublicCopy] = PublicCopy("HuggingFaceM4/the_cauldron", "hateful_memes/*.parquet")

    input: Folder
    caption: Annotated[bool, Meta(description="give the meme's text in the prompt")] = False
    prompt: Annotated[
        tuple[str, ...],
        Meta(
            description="Jinja templates of what is asked, over `text`, the meme's (of the_cauldron: `question`, its "
            "row's own text, which is also the default); one is drawn for each record"
        ),
    ] = ()
    label: Annotated[tuple[str, ...], Meta(description="LABEL=ANSWER, the answer to each label")] = ("0=No", "1=Yes")
    seed: Annotated[int, Meta(description="of the drawn prompts")] = 0

    def __post_init__(self) -> None:
        """Refuse a prompt or an answer that cannot be used before anything is fetched or read."""
        if self.caption and self.prompt:
            raise UsageError("--caption is for the default prompt; in one of your own, say where: {{ text }}")
        self._asker, self._answers  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every meme, the splits in turn, each file from its start.

        Raises:
            InputError: the input holds no file of Hateful Memes.
            UsageError: captions are asked for, and the rows have none.
        """
        check_readable(self.input)
        with FileNames(self.input) as files:
            annotations = annotation_files(files, _PUBLISHED, _EXPECTED)
            table = next((file.name for file in annotations if is_table(file.name)), None)
            if self.caption and table:
                raise UsageError(f"{table}: the rows of the_cauldron have no captions; leave out --caption")
            forms: list[Form] = [_Challenge(files, self._answers), CauldronForm("hatefulmemes")]
            duplicates = find_duplicates(self.input, files, find_items(self.input, annotations, forms))
            yield from map(duplicates.noted, find_items(self.input, annotations, forms))

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show the meme, ask about it.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: the image is missing or damaged.
        """
        return self._asker.record(item, images)

    @cached_property
    def _answers(self) -> LabelAnswers:
        return LabelAnswers(self.label)

    @cached_property
    def _asker(self) -> Asker:
        names = ["text", "question"]
        prompts = Prompts(self.prompt or [_WITH_CAPTION if self.caption else _PROMPT], self.seed, names)
        return Asker(self.input, self.name, prompts, Prompts(self.prompt or ["{{ question }}"], self.seed, names))


class _Challenge:
    """The challenge's own rows."""

    columns: ClassVar[Sequence[str]] = ("id", "img", "label", "text")

    def __init__(self, files: FileNames, answers: LabelAnswers) -> None:
        self._files = files
        self._answers = answers

    def knows(self, values: dict[str, Any]) -> bool:
        return "img" in values

    def items(self, row: RawRow) -> list[Item]:
        split = row.file.split
        identity = name_at(row.values, "id")
        image = self._files.find(text_at(row.values, "img"), beside=row.file.name)
        text = cell_at(row.values, "text")
        if not isinstance(text, str):
            raise ItemError(f"'text' is {text!r}; expected a text")
        answer, label = self._answers.of(row)
        sample = Sample(
            images=[image],
            questions=[Question(values={"text": text}, assistant=answer)],
            meta={"group": identity, **label, "text": text, "images": [image]},
        )
        return [
            Item(
                id=f"{split}-{identity}",
                split=split,
                path=row.place,
                images=image.removesuffix(PurePosixPath(image).suffix),
                data=sample.as_data(),
                shared=image,
            )
        ]
