"""What an item carries from discovery to conversion, and the record that it becomes: one type for every source."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from ..schema.record import Record, Turn
from .base import ImageSink, Item
from .rows.image_ref import ImageReader, ImageRef

if TYPE_CHECKING:
    from .video import Decoder
    from .video.sampling import Sampling

__all__ = ["RecordMaker", "Sample", "SampleSource", "SampleTurn", "failed_item"]

# From a record's id and the values of one of its turns to the user's text.
Prompt: TypeAlias = Callable[[str, Mapping[str, Any]], str]


class SampleTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of a sample.

    Args:
        user: what the user says; None where the source's prompt makes it of `values`.
        values: what the prompt may name.
        assistant: the answer, "" where there is none.
        answers: every acceptable answer, None where there is one alone.
        images: numbers of the sample's images that it shows, from 0; None for all of them in the first turn.
        supervised: whether the answer is trained on.
    """

    user: str | None = None
    values: dict[str, Any] = {}
    assistant: str = ""
    answers: list[str] | None = None
    images: list[int] | None = None
    supervised: bool = True


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One raw sample, as `Item.data` carries it.

    Args:
        turns: what is asked and answered.
        images: the images shown.
        names: what each image is stored as, without a suffix; empty for the item's `images` with a number.
        clips: the videos whose frames are shown, after the images.
        meta: the record's; None for none.
        hashed: names in `meta` that get the SHA-256 of the images' bytes, and how many of its digits.
        source: the record's; without, the converter's name; None for none.
    """

    turns: list[SampleTurn]
    images: list[ImageRef] = []
    names: list[str] = []
    clips: list[ImageRef] = []
    meta: dict[str, Any] | None = None
    hashed: dict[str, int] = {}
    source: str | UnsetType | None = UNSET

    def as_data(self) -> dict[str, Any]:
        """Return it as an item carries it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def item(self, record_id: str, split: str, path: str, images: str, shared: str = "") -> Item:
        """Return the item that carries it; for the names, see `Item`."""
        return Item(id=record_id, split=split, path=path, images=images, data=self.as_data(), shared=shared)

    @classmethod
    def of(cls, item: Item) -> Sample:
        """Read what an item carries."""
        return msgspec.convert(item.data, cls)


def failed_item(place: str, split: str, reason: str) -> Item:
    """Make the item of a sample that discovery knows cannot be converted."""
    return Item(id=place, split=split, path=place, images=f"{split}/{place}", failure=reason)


@dataclass(frozen=True)
class RecordMaker:
    """Makes records of samples; one a worker.

    Args:
        source: the converter's name.
        reader: reads the images.
        prompt: makes the user's text of turns that bring none.
        sampling: which frames of clips are shown, in sources that have clips.
        decoder: what reads them.
    """

    source: str
    reader: ImageReader
    prompt: Prompt | None = None
    sampling: Sampling | None = None
    decoder: Decoder = "auto"

    def record(self, item: Item, images: ImageSink) -> Record:
        """Store what an item shows, and make its record.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: an image or a clip is missing or damaged.
        """
        sample = Sample.of(item)
        users = [self._user(item.id, turn) for turn in sample.turns]
        meta = None if sample.meta is None else dict(sample.meta)
        bytes_of: list[bytes | Callable[[], bytes]] = [partial(self.reader.read, image) for image in sample.images]
        if sample.hashed:
            raw = [self.reader.read(image) for image in sample.images]
            digest = hashlib.sha256(b"".join(raw)).hexdigest()
            meta = {**(meta or {}), **{name: digest[:digits] for name, digits in sample.hashed.items()}}
            bytes_of = [*raw]
        names = sample.names or [f"{item.images}.{number}" for number in range(len(sample.images))]
        shown = [images.keep(name, data) for name, data in zip(names, bytes_of, strict=True)]
        if sample.clips:
            frames, provenance = self._frames(item, sample, images)
            # What the sample says of its clip goes before what was found.
            meta = {**(meta or {}), **{name: value for name, value in provenance.items() if name not in (meta or {})}}
            shown += frames
        turns = [
            Turn(
                images=_shown_by(turn, number, shown),
                user=user,
                assistant=turn.assistant,
                answers=UNSET if turn.answers is None else turn.answers,
                supervised=UNSET if turn.supervised else False,
            )
            for number, (turn, user) in enumerate(zip(sample.turns, users, strict=True))
        ]
        source = self.source if sample.source is UNSET else UNSET if sample.source is None else sample.source
        return Record(id=item.id, source=source, conversations=turns, meta=UNSET if meta is None else meta)

    def _user(self, record_id: str, turn: SampleTurn) -> str:
        if turn.user is not None:
            return turn.user
        assert self.prompt is not None, "a source whose turns bring no text has a prompt"
        return self.prompt(record_id, turn.values)

    def _frames(self, item: Item, sample: Sample, images: ImageSink) -> tuple[list[str], dict[str, Any]]:
        from .video.clips import show_clip

        assert self.sampling is not None, "a source with clips has a sampling"
        shown: list[str] = []
        found = []
        for number, ref in enumerate(sample.clips):
            path = self.reader.path_of(ref)
            part = f"video{number}-" if sample.images or len(sample.clips) > 1 else ""
            clip = show_clip(self.reader.folder, path, item, images, self.sampling, self.decoder, part)
            shown += clip.images
            found.append({"video": path, **clip.provenance})
        return shown, found[0] if len(found) == 1 else {"videos": found}


def _shown_by(turn: SampleTurn, number: int, shown: list[str]) -> list[str]:
    if turn.images is None:
        return [] if number else shown
    return [shown[image] for image in turn.images]


class SampleSource(ABC):
    """A source whose items carry samples; what is left to it is to find them."""

    @property
    @abstractmethod
    def records(self) -> RecordMaker:
        """What makes its records."""

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Store what an item shows, and make its record.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: an image or a clip is missing, a folder, or damaged.
        """
        return self.records.record(item, images)
