"""What docvqa, hateful_memes, nlvr and nlvr2 share: annotation files below the input become records with questions."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ...storage import check_readable
from ..base import Item
from ..prompts import Prompts
from ..sample import SampleSource
from .files import FileNames
from .forms import AnnotationFile, Form, annotation_files, find_items
from .labels import LabelAnswers

__all__ = ["LabelOption", "LabelSource", "QuestionSource"]

LabelOption: TypeAlias = Annotated[
    tuple[str, ...], Meta(description="LABEL=ANSWER, the answer to each label, which the default prompt offers")
]


@dataclass(frozen=True, kw_only=True)
class QuestionSource(SampleSource):
    """Questions about images, from annotation files or tables."""

    published: ClassVar[re.Pattern[str]]
    """Matches the names of the annotation files as they were published."""
    expected: ClassVar[str]
    """What has to lie below the input, for messages."""
    tables: ClassVar[bool] = True
    """Whether Parquet and Arrow files are read, too."""
    prompt_names: ClassVar[Sequence[str]]
    """What a prompt may name."""

    prompt: tuple[str, ...] = ()
    seed: Annotated[int, Meta(description="seed of what is drawn, such as one of several prompts")] = 0

    def __post_init__(self) -> None:
        """Refuse a prompt that cannot be used before anything is fetched or read."""
        self._prompts  # noqa: B018 - made here, kept for later

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

    def items(self, files: FileNames, annotations: list[AnnotationFile]) -> Iterator[Item]:
        """Find the items of all rows, in order; a source may join or mark them."""
        return find_items(self.input, annotations, self.forms(files))

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.prompt or [self.default_prompt], self.seed, self.prompt_names)


@dataclass(frozen=True, kw_only=True)
class LabelSource(QuestionSource):
    """Questions whose answers follow from a label."""

    usual_labels: ClassVar[tuple[str, ...]]
    """The answer to each label where none is given."""

    label: LabelOption

    def __post_init__(self) -> None:
        """Refuse a prompt or an answer that cannot be used before anything is fetched or read."""
        self.answers.check_prompts(self.prompt)
        super().__post_init__()

    @cached_property
    def answers(self) -> LabelAnswers:
        """The answer to each label."""
        return LabelAnswers(self.label, self.usual_labels)
