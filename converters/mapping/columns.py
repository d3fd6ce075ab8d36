"""From rows to records by a mapping that the user gives: which columns are images, the question, the answer."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.errors import ItemError, UsageError
from ...schema.splits import split_name
from ...storage import Folder
from ..base import Item
from ..prompts import draw
from ..rows import Row
from ..rows.image_ref import ImageReader, ImageRef
from ..sample import RecordMaker, Sample, SampleSource, SampleTurn, failed_item
from ..splits import Ratios, is_split_name, parse_ratios
from ..video import Decoder
from ..video.sampling import Sampling
from .media import media_of
from .values import RowValue, texts_of

__all__ = ["RowMapping"]


@dataclass(frozen=True, kw_only=True)
class RowMapping(SampleSource):
    """A source of rows.

    Wherever a column is named, a path to a field inside it may stand (`qa.answer`, `pages[*].image`), or a Jinja
    template over the row's columns.
    """

    name: ClassVar[str]

    input: Folder
    images: Annotated[
        tuple[str, ...],
        Meta(description="column with images: a path, a list of paths, or bytes; or a template of a path"),
    ] = ()
    videos: Annotated[tuple[str, ...], Meta(description="column with videos: a path, or a list; or a template")] = ()
    prompt: Annotated[
        tuple[str, ...],
        Meta(description="column with the user's text, or a Jinja template; of several, one is drawn for each record"),
    ]
    answer: Annotated[
        str,
        Meta(
            description="column with the answer, or a template; a list is every acceptable one, and its first is "
            "trained on. Without it the records are to predict on"
        ),
    ] = ""
    id: Annotated[str, Meta(description="column with an id, unique in its split; else rows are numbered")] = ""
    group: Annotated[
        str, Meta(description="column with what is never split between train and test, such as the document")
    ] = ""
    split_column: Annotated[str, Meta(description="column with the split; or a template")] = ""
    split_ratio: Annotated[
        str,
        Meta(
            description="share of each split, decided by hash of the group (or id, or place), such as "
            "train=0.9,val=0.1. Without it and a column, a file's split is in its name, as in val.csv, else train"
        ),
    ] = ""
    sampling: Annotated[Sampling, Meta(description="which frames of a video are shown")] = field(
        default_factory=Sampling
    )
    decoder: Annotated[Decoder, Meta(description="library that reads the frames")] = "auto"

    def __post_init__(self) -> None:
        """Refuse options that cannot work before anything is read."""
        if self.split_column and self.split_ratio:
            raise UsageError("--split-column and --split-ratio both decide the split; give one of them")
        if not self.prompt:
            raise UsageError("no prompt; name a column, or give a template: --prompt '{{ question }}'")
        self._ratios, self._values  # noqa: B018 - made here, kept for later

    @abstractmethod
    def rows(self) -> Iterator[tuple[str, Row]]:
        """Yield every row, file after file, in one fixed order, each with the split of its file."""

    @property
    @abstractmethod
    def reader(self) -> ImageReader:
        """What reads the rows' images; its folder is where paths in rows begin."""

    def discover(self) -> Iterator[Item]:
        """Find every row, and work out all but its images.

        Raises:
            InputError: there is no row file, or one cannot be read.
        """
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
        cells, values = row.cells(), self._values
        given_id = values["--id"][0].text(cells) if values["--id"] else ""
        item_id = f"{split}-{given_id or f'{number:010d}'}"
        root = self.reader.folder.address
        images, videos = (media_of(values[option], row, root) for option in ("--images", "--videos"))
        group = {"group": values["--group"][0].text(cells)} if values["--group"] else {}
        answer = values["--answer"][0].of(cells) if values["--answer"] else ""
        answers = texts_of("--answer", answer) if values["--answer"] else [""]
        turn = SampleTurn(
            user=draw(values["--prompt"], self.sampling.seed, "prompt", item_id).text(cells),
            assistant=answers[0],
            answers=answers if isinstance(answer, list) else None,
        )
        sample = Sample(images=images, clips=videos, turns=[turn], meta={**group, "row": row.place})
        # A page with many questions is stored once: what rows share has a name of its own.
        is_shared = bool(images) and not videos and not any(image.column for image in images)
        shared = "\n".join([str(PurePosixPath(row.file).parent), *(image.path for image in images)])
        return Item(
            id=item_id,
            split=split,
            path=row.place,
            images=_shared_name(images) if is_shared else f"{split}/{number:010d}",
            data=sample.as_data(),
            shared=shared if is_shared else "",
        )

    def _split(self, file_split: str, row: Row) -> str:
        cells = row.cells()
        if self._values["--split-column"]:
            split = split_name(self._values["--split-column"][0].text(cells))
            if not is_split_name(split):
                raise ItemError(f"--split-column is {split!r}, which cannot be the name of a file")
            return split
        if self._ratios is None:
            return file_split
        key = self._values["--group"] or self._values["--id"]
        return self._ratios.split_of(key[0].text(cells) if key else row.place)

    @cached_property
    def _ratios(self) -> Ratios | None:
        return parse_ratios(self.split_ratio, self.sampling.seed) if self.split_ratio else None

    @cached_property
    def records(self) -> RecordMaker:
        """What makes the records."""
        return RecordMaker(self.name, self.reader, sampling=self.sampling, decoder=self.decoder)

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
