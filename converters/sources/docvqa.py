"""DocVQA: what does the document say?

One raw sample is one question about one scanned page. In the challenge's own layout it is in
`{train,val,test}_v1.0*.json`, beside the folder with the page::

    {"questionId": 2, "question": "What is the TELEX number of Linn Electronics?", "image": "documents/linn.png",
     "ucsf_document_id": "linn", "ucsf_document_page_no": "1", "answers": ["298949", "#298949"], "data_split": "val"}

Two forms of the hub are read from Parquet or Arrow files below the input, told apart by their columns:

- HuggingFaceM4/the_cauldron, config docvqa: `images`, `texts[{user, assistant, source}]`, a page a row;
- nielsr/docvqa_1200_examples: `id`, `image`, `query{en, ...}`, `answers`, a question a row.

The answer that is trained on is the one most often given (case and spaces apart); of several such, one is drawn by seed
and record id. Questions without answers, as in the test split, become records to predict on. The records are shown in
docs/sources/docvqa.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ...schema.errors import ItemError, UsageError
from ..base import Item, PublicCopy
from ..prompts import draw
from ..questions.annotations import FileNames, Form, cell_at, name_at, text_at, texts_at
from ..questions.cauldron import CauldronRows
from ..questions.shared_images import conversations
from ..questions.source import QuestionSource
from ..rows import ImageRef, Row
from ..sample import Sample, SampleTurn


@dataclass(frozen=True, kw_only=True)
class DocVQA(QuestionSource):
    """Questions about scanned pages: the DocVQA challenge, or a copy of it on the hub."""

    name: ClassVar[str] = "docvqa"
    public_copy: ClassVar[PublicCopy] = PublicCopy("HuggingFaceM4/the_cauldron", "docvqa/*.parquet")
    published: ClassVar[re.Pattern[str]] = re.compile(r"(train|val|test)_v1\.0.*\.json")
    expected: ClassVar[str] = (
        "train|val|test_v1.0*.json beside documents/, or Parquet or Arrow files of the_cauldron (docvqa) or of "
        "nielsr/docvqa_1200_examples"
    )
    prompt_names: ClassVar[Sequence[str]] = ["question"]
    default_prompt: ClassVar[str] = "{{ question }}\nAnswer briefly."

    turns: Annotated[
        Literal["question", "document"],
        "a record for each question, or one conversation a page with its image in the first turn",
    ] = "question"
    prompt: Annotated[
        tuple[str, ...],
        "Jinja templates of the user's text, over `question`; one is drawn for each record. By default the question, "
        "a new line and `Answer briefly.`; a row of the_cauldron brings its own text",
    ] = ()
    language: Annotated[str, Meta(min_length=2), "language of nielsr/docvqa_1200_examples: en, de, es, fr or it"] = "en"

    def forms(self, files: FileNames) -> list[Form]:
        """List the forms that a file may have."""
        cauldron = CauldronRows("docvqa", whole=self.turns == "document", answers=True, own_text=not self.prompt)
        return [
            Form(("questionId", "question", "image", "answers"), _is_challenge, partial(self._challenge, files)),
            cauldron.form,
            Form(("id", "image", "query", "answers"), lambda values: {"query", "image"} <= values.keys(), self._nielsr),
        ]

    def items(self, files: FileNames, annotations: Mapping[str, str]) -> Iterator[Item]:
        """Find every question; those about a page are joined where that is asked for."""
        items = super().items(files, annotations)
        return conversations(items, _page_id) if self.turns == "document" else items

    def _challenge(self, files: FileNames, row: Row, split: str, number: int) -> list[Item]:
        values = row.cells()
        identity = _record_id(split, name_at(values, "questionId"))
        image = files.find(text_at(values, "image"), beside=row.file)
        stem = image.removesuffix(PurePosixPath(image).suffix)
        document = values.get("ucsf_document_id")
        group = document if isinstance(document, str) and document else PurePosixPath(stem).name
        turn = self._turn(values, split, identity, text_at(values, "question"))
        sample = Sample(turns=[turn], images=[ImageRef(image)], meta={"group": group, "images": [image]})
        return [sample.item(identity, split, row.place, stem, image)]

    def _nielsr(self, row: Row, split: str, number: int) -> list[Item]:
        if self.turns == "document":
            raise UsageError(
                f"{row.file}: the rows of docvqa_1200_examples do not say which page they are about; leave out "
                "--turns document"
            )
        values = row.cells()
        identity = _record_id(split, name_at(values, "id"))
        query = cell_at(values, "query")
        if not isinstance(query, dict):
            raise ItemError(f"'query' is {query!r}; expected the question by language")
        if cell_at(values, "image") is None:
            raise ItemError("'image' is empty")
        sample = Sample(
            turns=[self._turn(values, split, identity, text_at(query, self.language))],
            images=[ImageRef("", row.file, row.number, "image")],
            meta={"group": "", "row": row.place},
            hashed={"group": 16},
        )
        return [sample.item(identity, split, row.place, f"{split}/{identity}")]

    def _turn(self, values: dict[str, Any], split: str, identity: str, question: str) -> SampleTurn:
        asked = {"question": question}
        if split == "test" and not values.get("answers"):
            return SampleTurn(values=asked)
        answers = list(dict.fromkeys(texts := texts_at(values, "answers")))
        return SampleTurn(values=asked, assistant=_trained_answer(texts, self.seed, identity), answers=answers)


def _is_challenge(values: dict[str, Any]) -> bool:
    return "questionId" in values and ("question" in values or "image" in values)


def _page_id(item: Item) -> str:
    # An item of a whole row, as the_cauldron has them, is a conversation already.
    return f"{item.split}-{PurePosixPath(item.shared).stem}" if item.shared else item.id


def _record_id(split: str, raw: str) -> str:
    return raw if raw.startswith(split) else f"{split}-{raw}"


def _trained_answer(answers: Sequence[str], seed: int, identity: str) -> str:
    """Return the answer most often given; of several such, one drawn by seed and record id."""
    said = [" ".join(answer.split()).casefold() for answer in answers]
    most = max(Counter(said).values())
    often = [answer for answer, words in zip(answers, said, strict=True) if Counter(said)[words] == most]
    return draw(list(dict.fromkeys(often)), seed, "answer", identity)
