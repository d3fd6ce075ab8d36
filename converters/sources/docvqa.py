"""DocVQA: what does the document say?

One raw sample is one question about one scanned page. In the challenge's own layout it stands in
`{train,val,test}_v1.0*.json`, beside the folder with the page::

    {"questionId": 2, "question": "What is the TELEX number of Linn Electronics?", "image": "documents/linn.png",
     "ucsf_document_id": "linn", "ucsf_document_page_no": "1", "answers": ["298949", "#298949"], "data_split": "val"}

It becomes one record::

    {"id": "val-2", "source": "docvqa",
     "conversations": [{"images": ["documents/linn.0.png"],
                        "user": "What is the TELEX number of Linn Electronics?\\nAnswer briefly.",
                        "assistant": "298949", "answers": ["298949", "#298949"]}],
     "meta": {"group": "linn", "images": ["documents/linn.png"]}}

Two forms of the hub are read from Parquet or Arrow files below the input, told apart by their columns:

- HuggingFaceM4/the_cauldron, config docvqa: `images`, `texts[{user, assistant, source}]`, a page a row;
- nielsr/docvqa_1200_examples: `id`, `image`, `query{en, ...}`, `answers`, a question a row.

The answer that is trained on is the one most often given (case and spaces apart); of several such, one is drawn by seed
and record id. Questions without answers, as in the test split, become records to predict on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ...schema.errors import ItemError, UsageError
from ...schema.record import Record
from ...storage import Folder, check_readable
from ..base import ImageSink, Item, PublicCopy
from ..drawing import draw
from ..prompts import Prompts
from ..questions.cauldron import CauldronForm
from ..questions.conversations import conversations
from ..questions.fields import cell_at, name_at, text_at, texts_at
from ..questions.files import FileNames
from ..questions.forms import Form, RawRow, annotation_files, find_items
from ..questions.questions import Asker, Cell, Question, Sample

__all__ = ["DocVQA"]

_PUBLISHED = re.compile(r"(train|val|test)_v1\.0.*\.json")
_EXPECTED = (
    "train|val|test_v1.0*.json beside documents/, or Parquet or Arrow files of the_cauldron (docvqa) or of "
    "nielsr/docvqa_1200_examples"
)
_TEST = "test"


@dataclass(frozen=True)
class DocVQA:
    """Questions about scanned pages: the DocVQA challenge, or a copy of it on the hub."""

    name: ClassVar[str] = "docvqa"
    public_copy: ClassVar[PublicCopy] = PublicCopy("HuggingFaceM4/the_cauldron", "docvqa/*.parquet")

    input: Folder
    turns: Annotated[
        Literal["question", "document"],
        Meta(description="a record a question, or one conversation a page with its image in the first turn"),
    ] = "question"
    prompt: Annotated[
        tuple[str, ...],
        Meta(
            description="Jinja templates of what is asked, over `question`; one is drawn for each record. By default "
            "the question, a new line and `Answer briefly.`; a row of the_cauldron brings its own text"
        ),
    ] = ()
    seed: Annotated[int, Meta(description="of what is drawn: the prompt, the answer among equals")] = 0
    language: Annotated[
        str, Meta(min_length=2, description="of the questions of nielsr/docvqa_1200_examples: en, de, es, fr or it")
    ] = "en"

    def __post_init__(self) -> None:
        """Refuse a prompt that cannot be used before anything is fetched or read."""
        self._asker  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every question, the splits in turn, each file from its start.

        Raises:
            InputError: the input holds no file of DocVQA.
            UsageError: `turns` is document, and the rows do not say which page they are about.
        """
        check_readable(self.input)
        with FileNames(self.input) as files:
            annotations = annotation_files(files, _PUBLISHED, _EXPECTED)
            whole = self.turns == "document"
            forms: list[Form] = [
                _Challenge(files, self.seed),
                CauldronForm("docvqa", whole=whole, answers=True),
                _Nielsr(self.language, self.seed, whole),
            ]
            items = find_items(self.input, annotations, forms)
            yield from conversations(items, _page_id) if whole else items

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show the page, ask about it.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: the page is missing or damaged.
        """
        return self._asker.record(item, images)

    @cached_property
    def _asker(self) -> Asker:
        prompts = Prompts(self.prompt or ["{{ question }}\nAnswer briefly."], self.seed, ["question"])
        own_words = Prompts(self.prompt or ["{{ question }}"], self.seed, ["question"])
        return Asker(self.input, self.name, prompts, own_words)


def _page_id(item: Item) -> str:
    # An item of a whole row, as the_cauldron has them, is a conversation already.
    return f"{item.split}-{PurePosixPath(item.shared).stem}" if item.shared else item.id


class _Challenge:
    """The challenge's own rows."""

    columns: ClassVar[Sequence[str]] = ("questionId", "question", "image", "answers")

    def __init__(self, files: FileNames, seed: int) -> None:
        self._files = files
        self._seed = seed

    def knows(self, values: dict[str, Any]) -> bool:
        return "questionId" in values and ("question" in values or "image" in values)

    def items(self, row: RawRow) -> list[Item]:
        identity = _record_id(row.file.split, name_at(row.values, "questionId"))
        image = self._files.find(text_at(row.values, "image"), beside=row.file.name)
        stem = image.removesuffix(PurePosixPath(image).suffix)
        document = row.values.get("ucsf_document_id")
        sample = Sample(
            images=[image],
            questions=[_question(row, identity, text_at(row.values, "question"), self._seed)],
            meta={
                "group": document if isinstance(document, str) and document else PurePosixPath(stem).name,
                "images": [image],
            },
        )
        return [
            Item(
                id=identity,
                split=row.file.split,
                path=row.place,
                images=stem,
                data=sample.as_data(),
                shared=image,
            )
        ]


class _Nielsr:
    """Rows of nielsr/docvqa_1200_examples."""

    columns: ClassVar[Sequence[str]] = ("id", "image", "query", "answers")

    def __init__(self, language: str, seed: int, whole: bool) -> None:
        self._language = language
        self._seed = seed
        self._whole = whole

    def knows(self, values: dict[str, Any]) -> bool:
        return "query" in values and "image" in values

    def items(self, row: RawRow) -> list[Item]:
        if self._whole:
            raise UsageError(
                f"{row.file.name}: the rows of docvqa_1200_examples do not say which page they are about; leave out "
                "--turns document"
            )
        identity = _record_id(row.file.split, name_at(row.values, "id"))
        query = cell_at(row.values, "query")
        if not isinstance(query, dict):
            raise ItemError(f"'query' is {query!r}; expected the question by language")
        if cell_at(row.values, "image") is None:
            raise ItemError("'image' is empty")
        sample = Sample(
            images=[Cell(row.file.name, row.number, "image")],
            questions=[_question(row, identity, text_at(query, self._language), self._seed)],
            meta={"row": row.place},
            hashed=["group"],
        )
        return [
            Item(
                id=identity,
                split=row.file.split,
                path=row.place,
                images=f"{row.file.split}/{identity}",
                data=sample.as_data(),
            )
        ]


def _record_id(split: str, raw: str) -> str:
    return raw if raw.startswith(split) else f"{split}-{raw}"


def _question(row: RawRow, identity: str, question: str, seed: int) -> Question:
    if row.file.split == _TEST and not row.values.get("answers"):
        return Question(values={"question": question}, assistant="")
    answers = texts_at(row.values, "answers")
    trained = _trained_answer(answers, seed, identity)
    return Question(values={"question": question}, assistant=trained, answers=list(dict.fromkeys(answers)))


def _trained_answer(answers: Sequence[str], seed: int, identity: str) -> str:
    """Return the answer most often given; of several such, one drawn by seed and record id."""
    said = [" ".join(answer.split()).casefold() for answer in answers]
    most = max(Counter(said).values())
    often = [answer for answer, words in zip(answers, said, strict=True) if Counter(said)[words] == most]
    return draw(list(dict.fromkeys(often)), seed, "answer", identity)
