"""NLVR2: is the sentence true of the two photographs?

One raw sample is one line of `{train,dev,test1}.json`, about a pair of images that lie anywhere below the input under
the names that follow from the identifier, `dev-850-0-img0.png` (left) and `dev-850-0-img1.png` (right)::

    {"sentence": "The right image shows a curving walkway of dark glass circles embedded in dirt and flanked by
     foliage.", "label": "False", "identifier": "dev-850-0-0", "left_url": "https://...", "right_url": "https://...",
     "validation": {"61": "False"}, "writer": "61", "synset": "beer bottle", "query": "some beer bottles38"}

It becomes one record::

    {"id": "dev-850-0-0", "source": "nlvr2",
     "conversations": [{"images": ["dev/dev-850-0.0.png", "dev/dev-850-0.1.png"],
                        "user": "The right image shows a curving walkway ...\\nIs this statement about the two images
                        true? Answer True or False.", "assistant": "False"}],
     "meta": {"group": "dev-850", "pair": "dev-850-0", "sentence": "dev-850--0", "label": "False", "images": [...]}}

The parts of an identifier are the split, the image set, the pair and the sentence. All sentences about a pair right is
what the metric `consistency` counts; a sentence right of all its pairs, `sentence_consistency`, which NLVR2's own
evaluation calls consistency.

HuggingFaceM4/the_cauldron, config nlvr2 (`images`, `texts[{user, assistant, source}]`, a pair a row) is read from
Parquet or Arrow files below the input. It has lost the identifiers: pair and group are the hash of the two images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ...schema.errors import ItemError
from ...schema.record import Record
from ...storage import Folder, check_readable
from ..base import ImageSink, Item, PublicCopy
from ..prompts import Prompts
from ..questions.cauldron import CauldronForm
from ..questions.conversations import conversations
from ..questions.fields import name_at, text_at
from ..questions.files import FileNames
from ..questions.forms import Form, RawRow, annotation_files, find_items
from ..questions.labels import LabelAnswers
from ..questions.questions import Asker, Question, Sample

__all__ = ["NLVR2"]

_PUBLISHED = re.compile(r"(train|dev|test1|test2)\.json")
_IDENTIFIER = re.compile(r"(?P<set>(?P<split>[a-z0-9]+)-\d+)-\d+-(?P<sentence>\d+)")
_EXPECTED = (
    "train.json, dev.json or test1.json with images <split>-<set>-<pair>-img0.png and -img1.png, or Parquet or Arrow "
    "files of the_cauldron (nlvr2)"
)
_PROMPT = "{{ sentence }}\nIs this statement about the two images true? Answer True or False."


@dataclass(frozen=True)
class NLVR2:
    """Statements about two photographs, true or false."""

    name: ClassVar[str] = "nlvr2"
    public_copy: ClassVar[PublicCopy] = PublicCopy("HuggingFaceM4/the_cauldron", "nlvr2/*.parquet")

    input: Folder
    turns: Annotated[
        Literal["statement", "pair"],
        Meta(description="a record a statement, or one conversation a pair with its images in the first turn"),
    ] = "statement"
    prompt: Annotated[
        tuple[str, ...],
        Meta(
            description="Jinja templates of what is asked, over `sentence` (of the_cauldron: `question`, its row's own "
            "text, which is also the default); one is drawn for each record"
        ),
    ] = ()
    label: Annotated[tuple[str, ...], Meta(description="LABEL=ANSWER, the answer to each label")] = (
        "True=True",
        "False=False",
    )
    seed: Annotated[int, Meta(description="of the drawn prompts")] = 0

    def __post_init__(self) -> None:
        """Refuse a prompt or an answer that cannot be used before anything is fetched or read."""
        self._asker, self._answers  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every statement, the splits in turn, each file from its start.

        Raises:
            InputError: the input holds no file of NLVR2.
        """
        check_readable(self.input)
        with FileNames(self.input) as files:
            annotations = annotation_files(files, _PUBLISHED, _EXPECTED)
            whole = self.turns == "pair"
            forms: list[Form] = [
                _Published(files, self._answers),
                CauldronForm("nlvr2", images=2, whole=whole, hashed=("group", "pair")),
            ]
            items = find_items(self.input, annotations, forms)
            yield from conversations(items, _pair_id) if whole else items

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show the pair, left before right, and ask about it.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: an image is missing or damaged.
        """
        return self._asker.record(item, images)

    @cached_property
    def _answers(self) -> LabelAnswers:
        return LabelAnswers(self.label)

    @cached_property
    def _asker(self) -> Asker:
        names = ["sentence", "question"]
        prompts = Prompts(self.prompt or [_PROMPT], self.seed, names)
        return Asker(self.input, self.name, prompts, Prompts(self.prompt or ["{{ question }}"], self.seed, names))


def _pair_id(item: Item) -> str:
    return item.shared or item.id


class _Published:
    """The published rows."""

    columns: ClassVar[Sequence[str]] = ("identifier (dev-850-0-0)", "sentence", "label")

    def __init__(self, files: FileNames, answers: LabelAnswers) -> None:
        self._files = files
        self._answers = answers

    def knows(self, values: dict[str, Any]) -> bool:
        return _IDENTIFIER.fullmatch(str(values.get("identifier"))) is not None

    def items(self, row: RawRow) -> list[Item]:
        identifier = name_at(row.values, "identifier")
        found = _IDENTIFIER.fullmatch(identifier)
        if found is None:
            raise ItemError(f"the identifier {identifier!r}; expected <split>-<set>-<pair>-<sentence>, as dev-850-0-0")
        if found["split"] != row.file.split:
            raise ItemError(f"{identifier!r} is of the split {found['split']}; it has no place in {row.file.split}")
        pair = identifier.rpartition("-")[0]
        images = [self._files.find(f"{pair}-img{side}.png", beside=row.file.name) for side in (0, 1)]
        answer, label = self._answers.of(row)
        question = Question(values={"sentence": text_at(row.values, "sentence")}, assistant=answer)
        sentence = f"{found['set']}--{found['sentence']}"
        meta = {"group": found["set"], "pair": pair, "sentence": sentence, **label, "images": images}
        sample = Sample(images=[*images], questions=[question], meta=meta)
        return [
            Item(
                id=identifier,
                split=row.file.split,
                path=row.place,
                images=f"{row.file.split}/{pair}",
                data=sample.as_data(),
                shared=pair,
            )
        ]
