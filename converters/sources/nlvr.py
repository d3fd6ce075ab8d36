"""NLVR, the first corpus: is the sentence true of the three boxes?

One raw sample is one line of `{train,dev,test}.json`. Its image shows three boxes side by side, and lies below the
file six times, once in each order of the boxes: `images/<directory>/dev-1572-0-<0 to 5>.png`::

    {"sentence": "Each grey box contains atleast one yellow object touching the edge", "label": "true",
     "identifier": "1572-0", "directory": "2", "evals": {"r1": "true", ...}, "structured_rep": [[...], [...], [...]]}

It becomes one record for each order asked for::

    {"id": "dev-1572-0-0", "source": "nlvr",
     "conversations": [{"images": ["dev/dev-1572-0-0.0.png"],
                        "user": "Each grey box contains atleast one yellow object touching the edge\\nIs this statement
                        about the image true? Answer True or False.", "assistant": "True"}],
     "meta": {"group": "dev-1572", "label": "true", "images": ["images/2/dev-1572-0-0.png"]}}

The first part of an identifier is the sentence, which was written for a set of images: the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from ...schema.errors import ItemError
from ...schema.record import Record
from ...storage import Folder, check_readable
from ..base import ImageSink, Item
from ..prompts import Prompts
from ..questions.fields import name_at, text_at
from ..questions.files import FileNames
from ..questions.forms import RawRow, annotation_files, faulty, find_items
from ..questions.labels import LabelAnswers
from ..questions.questions import Asker, Question, Sample

__all__ = ["NLVR"]

_PUBLISHED = re.compile(r"(train|dev|test)\.json")
_IDENTIFIER = re.compile(r"(\d+)-\d+")
_EXPECTED = "train.json, dev.json or test.json beside images/<directory>/<split>-<identifier>-<permutation>.png"
_PROMPT = "{{ sentence }}\nIs this statement about the image true? Answer True or False."


@dataclass(frozen=True)
class NLVR:
    """Statements about drawings of three boxes, true or false."""

    name: ClassVar[str] = "nlvr"

    input: Folder
    permutation: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=5)], ...],
        Meta(min_length=1, description="the orders of the boxes, 0 to 5; a record for each"),
    ] = (0,)
    prompt: Annotated[
        tuple[str, ...],
        Meta(description="Jinja templates of what is asked, over `sentence`; one is drawn for each record"),
    ] = (_PROMPT,)
    label: Annotated[tuple[str, ...], Meta(description="LABEL=ANSWER, the answer to each label")] = (
        "true=True",
        "false=False",
    )
    seed: Annotated[int, Meta(description="of the drawn prompts")] = 0

    def __post_init__(self) -> None:
        """Refuse a prompt or an answer that cannot be used before anything is fetched or read."""
        self._asker, self._answers  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every statement, the splits in turn, each file from its start.

        Raises:
            InputError: the input holds no file of NLVR.
        """
        check_readable(self.input)
        with FileNames(self.input) as files:
            annotations = annotation_files(files, _PUBLISHED, _EXPECTED, tables=False)
            yield from find_items(self.input, annotations, [_Published(files, self._answers, self.permutation)])

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show the boxes, ask about them.

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
        prompts = Prompts(self.prompt, self.seed, ["sentence"])
        return Asker(self.input, self.name, prompts, prompts)


class _Published:
    """The published rows."""

    columns: ClassVar[Sequence[str]] = ("identifier (1572-0)", "sentence", "label", "directory")

    def __init__(self, files: FileNames, answers: LabelAnswers, permutations: Sequence[int]) -> None:
        self._files = files
        self._answers = answers
        self._permutations = permutations

    def knows(self, values: dict[str, Any]) -> bool:
        return _IDENTIFIER.fullmatch(str(values.get("identifier"))) is not None

    def items(self, row: RawRow) -> list[Item]:
        identifier = name_at(row.values, "identifier")
        found = _IDENTIFIER.fullmatch(identifier)
        if found is None:
            raise ItemError(f"the identifier {identifier!r}; expected <sentence>-<image>, as 1572-0")
        split = row.file.split
        answer, label = self._answers.of(row)
        question = Question(values={"sentence": text_at(row.values, "sentence")}, assistant=answer)
        meta = {"group": f"{split}-{found[1]}", **label}
        items = []
        for permutation in self._permutations:
            name = f"{split}-{identifier}-{permutation}"
            path = f"images/{name_at(row.values, 'directory')}/{name}.png"
            try:
                image = self._files.find(path, beside=row.file.name)
            except ItemError as error:
                items.append(faulty(f"{row.place}, permutation {permutation}", split, str(error)))
                continue
            sample = Sample(images=[image], questions=[question], meta={**meta, "images": [image]})
            items.append(Item(id=name, split=split, path=row.place, images=f"{split}/{name}", data=sample.as_data()))
        return items
