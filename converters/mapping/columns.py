"""From rows to records by a mapping that the user gives: which columns are images, the question, the answer."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
from msgspec import UNSET, Meta

from ...schema.errors import ItemError, MediaError, UsageError
from ...schema.record import Record, Turn
from ...storage import Folder
from ..base import ImageSink, Item
from ..drawing import draw
from ..rows import Row
from ..splits import Ratios, is_split_name, parse_ratios
from ..video import Decoder
from ..video.clips import show_clip
from ..video.sampling import Sampling
from .media import Shown, media_of
from .values import RowValue, texts_of

__all__ = ["FoundRow", "RowMapping", "split_in_name"]

_SPLIT_WORD = re.compile(r"(?:^|[/._-])(train|validation|valid|val|dev|test)(?=$|[/._-])", re.IGNORECASE)


class FoundRow(NamedTuple):
    """A row, the file it stands in, and the split of that file."""

    file: str
    split: str
    row: Row


class _Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an item carries: the finished texts, and where its images and videos lie."""

    file: str
    number: int
    user: str
    answers: list[str] = []
    several: bool = False
    images: list[Shown] = []
    videos: list[Shown] = []
    meta: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class RowMapping(ABC):
    """A source of rows. Wherever a column is named, a Jinja template over the row's columns may stand."""

    name: ClassVar[str]

    input: Folder
    images: Annotated[
        tuple[str, ...],
        Meta(description="column with images: a path, a list of paths, or bytes; or a template of a path"),
    ] = ()
    videos: Annotated[tuple[str, ...], Meta(description="column with videos: a path, or a list; or a template")] = ()
    prompt: Annotated[
        tuple[str, ...],
        Meta(description="column with what is asked, or a Jinja template; of several, one is drawn a record"),
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
        str, Meta(description="column with what must not be parted, such as the document; or a template")
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
    decoder: Annotated[Decoder, Meta(description="what reads the frames")] = "auto"

    def __post_init__(self) -> None:
        """Refuse options that cannot work before anything is read."""
        if self.split_column and self.split_ratio:
            raise UsageError("--split-column and --split-ratio both decide the split; give one of them")
        self._ratios  # noqa: B018 - made here, kept for later
        self._places  # noqa: B018 - as above

    @abstractmethod
    def rows(self) -> Iterator[FoundRow]:
        """Yield every row, file after file, in one fixed order."""

    @abstractmethod
    def read_cell(self, file: str, number: int, shown: Shown) -> bytes:
        """Return the bytes of an image that lies in a cell.

        Raises:
            ItemError: there are none.
        """

    def read_file(self, path: str) -> bytes:
        """Return the bytes of an image that is a file of the input."""
        return self.folder.read(path)

    @property
    def folder(self) -> Folder:
        """The folder that paths in rows begin at."""
        return self.input

    def discover(self) -> Iterator[Item]:
        """Find every row, and work out all but its images.

        Raises:
            InputError: there is no row file, or one cannot be read.
        """
        counts: Counter[str] = Counter()
        for found in self.rows():
            try:
                split = self._split(found)
            except ItemError as error:
                yield _faulty(found, found.split, str(error))
                continue
            number = counts[split]
            counts[split] += 1
            try:
                yield self._item(found, split, number)
            except ItemError as error:
                yield _faulty(found, split, str(error))

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show a row's images and frames, ask its question.

        Raises:
            MediaError: an image or video is missing or damaged.
        """
        data = msgspec.convert(item.data, _Data)
        shown = [
            images.keep(f"{item.images}.{number}", partial(self._read, data, image))
            for number, image in enumerate(data.images)
        ]
        meta = dict(data.meta)
        clips = []
        for number, video in enumerate(data.videos):
            path = self._path(data.file, video.path)
            part = f"video{number}-" if data.images or len(data.videos) > 1 else ""
            clip = show_clip(self.folder, path, item, images, self.sampling, self.decoder, part)
            shown += clip.images
            clips.append({"video": path, **clip.provenance})
        if clips:
            meta |= clips[0] if len(clips) == 1 else {"videos": clips}
        turn = Turn(
            images=shown,
            user=data.user,
            assistant=data.answers[0] if data.answers else "",
            answers=data.answers if data.several else UNSET,
        )
        return Record(id=item.id, source=self.name, conversations=[turn], meta=meta)

    def _item(self, found: FoundRow, split: str, number: int) -> Item:
        row = _values(found.row)
        places = self._places
        given_id = places.id.text(row) if places.id else ""
        item_id = f"{split}-{given_id or f'{number:010d}'}"
        images = media_of(places.images, row, self.folder.address)
        answer = places.answer.of(row) if places.answer else None
        group = {"group": places.group.text(row)} if places.group else {}
        prompt = draw(places.prompt, self.sampling.seed, "prompt", item_id)
        data = _Data(
            file=found.file,
            number=found.row.number,
            user=prompt.text(row),
            answers=texts_of("--answer", answer) if places.answer else [],
            several=isinstance(answer, list),
            images=images,
            videos=media_of(places.videos, row, self.folder.address),
            meta={**group, "row": found.row.place},
        )
        shared = "\n".join(image.path for image in images) if _are_files(images) and not data.videos else ""
        # A page with many questions is stored once: what rows share has a name of its own.
        name = f"{split}/{number:010d}" if not shared else _shared_name(found.file, images)
        return Item(
            id=item_id,
            split=split,
            path=found.row.place,
            images=name,
            data=msgspec.to_builtins(data),
            shared=f"{PurePosixPath(found.file).parent}\n{shared}" if shared else "",
        )

    def _split(self, found: FoundRow) -> str:
        row = _values(found.row)
        if self._places.split is not None:
            split = self._places.split.text(row)
            if not is_split_name(split):
                raise ItemError(f"--split-column is {split!r}, which cannot be the name of a file")
            return split
        if self._ratios is None:
            return found.split
        key = self._places.group or self._places.id
        return self._ratios.split_of(key.text(row) if key else found.row.place)

    def _read(self, data: _Data, image: Shown) -> bytes:
        if image.column:
            try:
                return self.read_cell(data.file, data.number, image)
            except ItemError:
                if not image.path:
                    raise
        path = self._path(data.file, image.path)
        try:
            return self.read_file(path)
        except FileNotFoundError:
            raise MediaError(
                f"{image.path}: no such image; paths begin at the table's folder, or at the input"
            ) from None
        except IsADirectoryError:
            raise MediaError(f"{image.path}: a folder, not an image") from None

    def _path(self, file: str, path: str) -> str:
        """Return a path in the input: it begins at the folder of the row's file, or else at the input."""
        beside = (PurePosixPath(file).parent / path).as_posix()
        return beside if beside == path or self.folder.exists(beside) else path

    @cached_property
    def _ratios(self) -> Ratios | None:
        return parse_ratios(self.split_ratio) if self.split_ratio else None

    @cached_property
    def _places(self) -> _Places:
        def one(option: str, text: str) -> RowValue | None:
            return RowValue(option, text) if text else None

        if not self.prompt:
            raise UsageError("no prompt; name a column, or give a template: --prompt '{{ question }}'")
        return _Places(
            images=[RowValue("--images", text) for text in self.images],
            videos=[RowValue("--videos", text) for text in self.videos],
            prompt=[RowValue("--prompt", text) for text in self.prompt],
            answer=one("--answer", self.answer),
            id=one("--id", self.id),
            group=one("--group", self.group),
            split=one("--split-column", self.split_column),
        )


class _Places(NamedTuple):
    images: list[RowValue]
    videos: list[RowValue]
    prompt: list[RowValue]
    answer: RowValue | None
    id: RowValue | None
    group: RowValue | None
    split: RowValue | None


def split_in_name(path: str) -> str:
    """Return the split that a file's path names as a word of its own, the last one where there are several.

    `train-00000-of-00007.parquet`, `qa_val.jsonl` and `test/rows.csv` name one; where none is named, it is `train`.
    """
    found = _SPLIT_WORD.findall(path)
    word = found[-1].lower() if found else "train"
    return "val" if word in ("validation", "valid") else word


def _values(row: Row) -> dict[str, Any]:
    if row.values is None:
        raise ItemError(row.failure)
    return row.values


def _faulty(found: FoundRow, split: str, fault: str) -> Item:
    place = found.row.place
    return Item(id=f"{split}-{place}", split=split, path=place, images=f"{split}/{place}", failure=fault)


def _are_files(images: list[Shown]) -> bool:
    return bool(images) and not any(image.column for image in images)


def _shared_name(file: str, images: list[Shown]) -> str:
    first = (PurePosixPath(file).parent / images[0].path).as_posix()
    if len(images) == 1:
        return first
    others = hashlib.sha256("\n".join(image.path for image in images).encode()).hexdigest()[:12]
    return f"{first}.with-{others}"
