"""What an item carries from discovery to conversion, and the record that it becomes: one type for every source."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from ..schema.record import Record, Turn
from ..storage import Folder
from .base import ImageSink, Item
from .prompts import Prompts
from .rows import ImageReader, ImageRef, InputFile, input_file


class SampleTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of a sample."""

    user: str | None = None  # what the user says; None where the source's prompt makes it of `values`
    values: dict[str, Any] = {}  # what the prompt may name
    assistant: str = ""  # the answer, "" where there is none
    answers: list[str] | None = None  # every acceptable answer, None where there is one alone
    images: list[int] | None = None  # numbers of the sample's images that it shows, from 0; None for all, in turn 0
    supervised: bool = True  # whether the answer is trained on


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One raw sample, as `Item.data` carries it."""

    turns: list[SampleTurn]
    images: list[ImageRef] = []
    names: list[str] = []  # what each image is stored as, without a suffix; empty for the item's `images` with a number
    clips: list[ImageRef] = []  # videos whose frames are shown, after the images
    meta: dict[str, Any] | None = None  # the record's; None for none
    hashed: dict[str, int] = {}  # names in `meta` that get the SHA-256 of the images' bytes, and how many digits of it
    source: str | UnsetType | None = UNSET  # the record's; UNSET for the converter's name, None for none

    def as_data(self) -> dict[str, Any]:
        """Return it as an item carries it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def item(self, record_id: str, split: str, path: str, images: str, shared: str = "", failure: str = "") -> Item:
        """Return the item that carries it; for the names, see `Item`."""
        data = self.as_data()
        return Item(id=record_id, split=split, path=path, images=images, data=data, shared=shared, failure=failure)

    @classmethod
    def of(cls, item: Item) -> Sample:
        """Read what an item carries."""
        return msgspec.convert(item.data, cls)


def failed_item(place: str, split: str, reason: str) -> Item:
    """Make the item of a sample that discovery knows cannot be converted."""
    return Item(id=place, split=split, path=place, images=f"{split}/{place}", failure=reason)


@dataclass(frozen=True, kw_only=True)
class SampleSource(ABC):
    """A source whose items carry samples; what is left to it is to find them."""

    name: ClassVar[str]
    takes_files: ClassVar[tuple[str, ...]] = ()

    input: Folder

    @abstractmethod
    def discover(self) -> Iterator[Item]:
        """Find every raw sample; see `Converter`."""

    @cached_property
    def place(self) -> InputFile:
        """The folder of raw data, and the one file of it that was given, if it was one."""
        return input_file(self.input, self.takes_files)

    @cached_property
    def reader(self) -> ImageReader:
        """What reads the images; one a worker."""
        return ImageReader(self.place.folder)

    @cached_property
    def _prompts(self) -> Prompts:
        raise NotImplementedError(f"{self.name}: a turn without the user's text, and no prompt to make it")

    def ask(self, record_id: str, values: Mapping[str, Any]) -> str:
        """Return the user's text of a turn that brings none, of the turn's values."""
        return self._prompts.render(record_id, values)

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Store what an item shows, and make its record.

        Raises:
            ItemError: the prompt cannot be made.
            MediaError: an image or a clip is missing, a folder, or damaged.
        """
        sample = Sample.of(item)
        users = [self.ask(item.id, turn.values) if turn.user is None else turn.user for turn in sample.turns]
        meta = sample.meta
        sources: Sequence[bytes | Callable[[], bytes]] = [partial(self.reader.read, image) for image in sample.images]
        if sample.hashed:
            sources = raw = [self.reader.read(image) for image in sample.images]
            digest = hashlib.sha256(b"".join(raw)).hexdigest()
            meta = {**(meta or {}), **{name: digest[:digits] for name, digits in sample.hashed.items()}}
        names = sample.names or [f"{item.images}.{number}" for number in range(len(sources))]
        shown = [images.keep(name, source) for name, source in zip(names, sources, strict=True)]
        if sample.clips:
            frames, provenance = self._frames(item, sample, images)
            shown += frames
            # What the sample says of its clip goes before what was found.
            meta = {**(meta or {}), **provenance, **(meta or {})}
        turns = [
            Turn(
                images=([] if number else shown) if turn.images is None else [shown[image] for image in turn.images],
                user=user,
                assistant=turn.assistant,
                answers=UNSET if turn.answers is None else turn.answers,
                supervised=UNSET if turn.supervised else False,
            )
            for number, (turn, user) in enumerate(zip(sample.turns, users, strict=True))
        ]
        source = self.name if sample.source is UNSET else UNSET if sample.source is None else sample.source
        return Record(id=item.id, source=source, conversations=turns, meta=UNSET if meta is None else meta)

    def _frames(self, item: Item, sample: Sample, images: ImageSink) -> tuple[list[str], dict[str, Any]]:
        from .video.read import show_clip

        options: Any = self  # a source with clips has the options `sampling` and `decoder`
        shown: list[str] = []
        found = []
        for number, ref in enumerate(sample.clips):
            path = self.reader.path_of(ref)
            part = f"video{number}-" if sample.images or len(sample.clips) > 1 else ""
            names, provenance = show_clip(
                self.reader.folder, path, item, images, options.sampling, options.decoder, part
            )
            shown += names
            found.append({"video": path, **provenance})
        return shown, found[0] if len(found) == 1 else {"videos": found}
