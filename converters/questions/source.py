"""What docvqa, hateful_memes, nlvr and nlvr2 share: annotation files below the input become records with questions."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, TypeAlias

from ...schema.errors import ItemError, UsageError
from ...storage import check_readable
from ..base import Item
from ..prompts import Prompts
from ..rows import Row
from ..sample import SampleSource
from .annotations import FileNames, Form, annotation_files, cell_at, find_items

LabelOption: TypeAlias = Annotated[
    tuple[str, ...], "LABEL=ANSWER, the answer to each label, which the default prompt offers"
]


@dataclass(frozen=True, kw_only=True)
class QuestionSource(SampleSource):
    """Questions about images, from annotation files or tables."""

    published: ClassVar[re.Pattern[str]]  # matches the names of the annotation files as they were published
    expected: ClassVar[str]  # what has to lie below the input, for messages
    tables: ClassVar[bool] = True  # whether Parquet and Arrow files are read, too
    prompt_names: ClassVar[Sequence[str]]  # what a prompt may name

    prompt: tuple[str, ...] = ()
    seed: Annotated[int, "seed of what is drawn, such as one of several prompts"] = 0

    def __post_init__(self) -> None:
        self._prompts  # noqa: B018 - made here, before anything is fetched or read, and kept for later

    def discover(self) -> Iterator[Item]:
        """Find every question, the splits in turn, each file from its start.

        Raises:
            InputError: the input holds no annotation file of this data set.
            UsageError: an option asks for what the rows do not have.
        """
        check_readable(self.input)
        with FileNames(self.input) as files:
            annotations = annotation_files(files, self.published, self.expected, tables=self.tables)
            yield from self.items(files, annotations)

    @property
    @abstractmethod
    def default_prompt(self) -> str:
        """The template where no prompt is given, for rows that do not bring the user's text themselves."""

    @abstractmethod
    def forms(self, files: FileNames) -> list[Form]:
        """List the forms that a file may have."""

    def items(self, files: FileNames, annotations: Mapping[str, str]) -> Iterator[Item]:
        """Find the items of all rows, in order, of files given with their split; a source may join or mark them."""
        return find_items(self.input, annotations, self.forms(files))

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.prompt or [self.default_prompt], self.seed, self.prompt_names)


@dataclass(frozen=True, kw_only=True)
class LabelSource(QuestionSource):
    """Questions whose answers follow from a label."""

    label: LabelOption = ()

    def __post_init__(self) -> None:
        """Refuse an answer that cannot be used, and a prompt that offers the usual ones where others are trained on."""
        usual = [pair.partition("=")[2] for pair in type(self).label]  # the source's default
        offered = [f"{a} or {b}".casefold() for a in usual for b in usual if a.casefold() != b.casefold()]
        changed = {answer.casefold() for answer in self._answers.values()} != {answer.casefold() for answer in usual}
        for prompt in self.prompt if changed else ():
            if any(choice in prompt.casefold() for choice in offered):
                raise UsageError(
                    f"the prompt {prompt!r} offers {' or '.join(usual)}, but --label makes the answers "
                    f"{self.choice()}; let the prompt offer those"
                )
        super().__post_init__()

    @cached_property
    def _answers(self) -> dict[str, str]:
        """The answer to each label; labels are compared as texts, in any case."""
        answers: dict[str, str] = {}
        for pair in self.label:
            label, answer = (part.strip() for part in pair.partition("=")[::2])
            if not label or not answer:
                raise UsageError(f"the label {pair!r}: expected LABEL=ANSWER, such as 1=Yes")
            if label.casefold() in answers:
                raise UsageError(f"the label {pair!r}: {label!r} has an answer already; give it one")
            answers[label.casefold()] = answer
        return answers

    def choice(self, *, last_first: bool = False) -> str:
        """Return the answers as a prompt offers them, such as `True or False`."""
        answers = list(dict.fromkeys(self._answers.values()))
        return " or ".join(reversed(answers) if last_first else answers)

    def answer_to(self, row: Row, split: str) -> tuple[str, dict[str, str]]:
        """Return the answer to a row's `label`, and what the record's `meta` says of it; raises ItemError.

        Rows of a test split need no label: they are to be predicted on, and their answer is empty.
        """
        values = row.cells()
        if split.startswith("test") and values.get("label") is None:
            return "", {}
        label = cell_at(values, "label")
        answer = self._answers.get(str(label).casefold()) if isinstance(label, str | int) else None
        if answer is None:
            raise ItemError(f"the label {label!r} has no answer; there are: {', '.join(self._answers)} (--label)")
        return answer, {"label": str(label)}
