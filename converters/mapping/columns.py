"""From rows to records by a mapping that the user gives: which columns are images, the question, the answer."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated

from ...schema.errors import ItemError, UsageError
from ...schema.splits import split_name
from ..base import Item
from ..prompts import draw
from ..rows import ImageRef, Row
from ..sample import Sample, SampleSource, SampleTurn, failed_item
from ..splits import Ratios, is_split_name, parse_ratios
from ..video import Decoder
from ..video.sampling import Sampling
from .values import RowValue, media_of


@dataclass(frozen=True, kw_only=True)
class RowMapping(SampleSource):
    """A source of rows.

    Wherever a column is named, a path to a field inside it may stand (`qa.answer`, `pages[*].image`), or a Jinja
    template over the row's columns.
    """

    images: Annotated[
        tuple[str, ...], "column with images: a path, a list of paths, or bytes; or a template of a path"
    ] = ()
    videos: Annotated[tuple[str, ...], "column with videos: a path, or a list; or a template"] = ()
    prompt: Annotated[
        tuple[str, ...], "column with the user's text, or a Jinja template; of several, one is drawn for each record"
    ]
    answer: Annotated[
        str,
        "column with the answer, or a template; a list is every acceptable one, and its first is trained on. Without "
        "it the records are to predict on",
    ] = ""
    id: Annotated[str, "column with an id, unique in its split; else rows are numbered"] = ""
    group: Annotated[str, "column with what is never split between train and test, such as the document"] = ""
    split_column: Annotated[str, "column with the split; or a template"] = ""
    split_ratio: Annotated[
        str,
        "share of each split, decided by hash of the group (or id, or place), such as train=0.9,val=0.1. Without it "
        "and a column, a file's split is in its name, as in val.csv, else train",
    ] = ""
    sampling: Annotated[Sampling, "which frames of a video are shown"] = field(default_factory=Sampling)
    decoder: Annotated[Decoder, "library that reads the frames"] = "auto"

    def __post_init__(self) -> None:
        if self.split_column and self.split_ratio:
            raise UsageError("--split-column and --split-ratio both decide the split; give one of them")
        if not self.prompt:
            raise UsageError("no prompt; name a column, or give a template: --prompt '{{ question }}'")
        self._ratios, self._values  # noqa: B018 - made here, kept for later

    @abstractmethod
    def rows(self) -> Iterator[tuple[str, Row]]:
        """Yield every row, file after file, in one fixed order, each with the split of its file."""

    def discover(self) -> Iterator[Item]:
        """Find every row, and work out all but its images; raises InputError where no file of rows can be read."""
        counts: Counter[str] = Counter()
        for file_split, row in self.rows():
            split = file_split
            try:
                split = self._split(file_split, row)
                number = counts[split]
                counts[split] += 1
                yield self._item(row, split, number)
            except ItemError as error:
                yield failed_item(row.place, split, str(error))

    def _item(self, row: Row, split: str, number: int) -> Item:
        item_id = f"{split}-{self._text('--id', row) or f'{number:010d}'}"
        root = self.reader.folder.address
        images, videos = (media_of(self._values[option], row, root) for option in ("--images", "--videos"))
        group = self._text("--group", row)
        answers, are_several = self._values["--answer"][0].texts(row.cells()) if self.answer else ([""], False)
        turn = SampleTurn(
            user=draw(self._values["--prompt"], self.sampling.seed, "prompt", item_id).text(row.cells()),
            assistant=answers[0],
            answers=answers if are_several else None,
        )
        meta = {**({"group": group} if group else {}), "row": row.place}
        sample = Sample(images=images, clips=videos, turns=[turn], meta=meta)
        name, shared = f"{split}/{number:010d}", ""
        if images and not videos and not any(image.column for image in images):
            # A page with many questions is stored once: what rows share has a name of its own.
            name = _shared_name(images)
            shared = "\n".join([str(PurePosixPath(row.file).parent), *(image.path for image in images)])
        return sample.item(item_id, split, row.place, name, shared)

    def _split(self, file_split: str, row: Row) -> str:
        row.cells()  # what is not a row has no number
        if self.split_column:
            split = split_name(self._text("--split-column", row))
            if not is_split_name(split):
                raise ItemError(f"--split-column is {split!r}, which cannot be the name of a file")
            return split
        if self._ratios is None:
            return file_split
        return self._ratios.split_of(self._text("--group", row) or self._text("--id", row) or row.place)

    def _text(self, option: str, row: Row) -> str:
        """Return the one text that an option takes from a row, "" where the option is not given."""
        return next((value.text(row.cells()) for value in self._values[option]), "")

    @cached_property
    def _ratios(self) -> Ratios | None:
        return parse_ratios(self.split_ratio, self.sampling.seed) if self.split_ratio else None

    @cached_property
    def _values(self) -> dict[str, list[RowValue]]:
        """What each option takes from a row."""
        given = {
            "--images": self.images,
            "--videos": self.videos,
            "--prompt": self.prompt,
            "--answer": (self.answer,),
            "--id": (self.id,),
            "--group": (self.group,),
            "--split-column": (self.split_column,),
        }
        return {option: [RowValue(option, text) for text in texts if text] for option, texts in given.items()}


def _shared_name(images: list[ImageRef]) -> str:
    first = (PurePosixPath(images[0].file).parent / images[0].path).as_posix()
    if len(images) == 1:
        return first
    others = hashlib.sha256("\n".join(image.path for image in images).encode()).hexdigest()[:12]
    return f"{first}.with-{others}"
