"""Files in folders by class: what ucf101, video-folder and image-folder share."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from ...schema.errors import UsageError
from ...schema.splits import split_name
from ...storage import Folder
from ..base import Item
from ..prompts import Prompts
from ..rows.image_ref import ImageReader, ImageRef
from ..sample import RecordMaker, Sample, SampleSource, SampleTurn
from ..splits import Ratios, SplitRatio, parse_ratios
from ..video import Decoder
from ..video.sampling import Sampling
from .class_folders import CLIPS, Kind, check_labels
from .layouts import ByFolder, ByLists, ByRatio, LabelledFile, Layout

__all__ = ["LabelPrompt", "LabelledClips", "LabelledFolder", "SplitFolder"]

LabelPrompt: TypeAlias = Annotated[
    tuple[str, ...],
    Meta(description="the user's text, with {{ labels }} in it; of several, one is drawn for each record"),
]


@dataclass(frozen=True, kw_only=True)
class LabelledFolder(SampleSource):
    """A folder of classes, or of splits with classes inside; the classes' names are the answers."""

    name: ClassVar[str]
    kind: ClassVar[Kind]

    input: Folder
    prompt: LabelPrompt

    def __post_init__(self) -> None:
        """Refuse options that cannot work before anything is read."""
        self._prompts, self._pattern  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every file, numbered through: by class and name, or the splits in turn where lists or folders decide.

        Raises:
            InputError: the input is not such a folder, or holds something that would be left out silently.
        """
        check_labels(self.input, self._labels)
        for number, file in enumerate(self._layout.files()):
            path = self._layout.base + file.path
            yield Item(
                id=f"{file.split}-{number:010d}",
                split=file.split,
                path=path,
                images=f"{file.split}/{file.image}",
                data=self._sample(file, ImageRef(path)).as_data(),
                failure=file.failure or self._group_failure(file.path),
            )

    @property
    @abstractmethod
    def seed(self) -> int:
        """What every draw is seeded with."""

    @abstractmethod
    def find_layout(self) -> Layout:
        """Tell how the files lie in the input."""

    def group_of(self, path: str) -> str:
        """Return the group that a file's name tells, "" where it tells none."""
        match = self._pattern.search(PurePosixPath(path).name) if self._pattern.pattern else None
        return (match[1] if self._pattern.groups else match[0]) or "" if match else ""

    def _sample(self, file: LabelledFile, place: ImageRef) -> Sample:
        is_clip = self.kind is CLIPS
        group = self.group_of(file.path)
        meta: dict[str, Any] = {"group": group} if group else {}
        meta |= {"label": file.label} if file.label else {}
        meta |= {"video" if is_clip else "image": file.path}
        turns = [SampleTurn(assistant=file.label)]
        if is_clip:
            return Sample(turns=turns, clips=[place], meta=meta)
        return Sample(turns=turns, images=[place], meta={**meta, "sha256": ""}, hashed={"sha256": 64})

    def _group_failure(self, path: str) -> str:
        return ""

    def _ask(self, record_id: str, values: Mapping[str, Any]) -> str:
        return self._prompts.render(record_id, {"labels": self._labels})

    @cached_property
    def _layout(self) -> Layout:
        return self.find_layout()

    @cached_property
    def _labels(self) -> list[str]:
        return self._layout.labels()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("")

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.prompt, self.seed, names=["labels"])

    @cached_property
    def records(self) -> RecordMaker:
        """What makes the records."""
        return RecordMaker(self.name, ImageReader(self.input), self._ask)


@dataclass(frozen=True, kw_only=True)
class LabelledClips(LabelledFolder):
    """A labelled folder of clips."""

    kind: ClassVar[Kind] = CLIPS

    prompt: LabelPrompt = ("Classify the video into one of the following classes: {{ labels | join(', ') }}.",)
    sampling: Annotated[Sampling, Meta(description="which frames are shown")] = field(default_factory=Sampling)
    decoder: Annotated[Decoder, Meta(description="library that reads the frames")] = "auto"

    @property
    def seed(self) -> int:
        """The seed of the sampling: one seed for all that is drawn."""
        return self.sampling.seed

    @cached_property
    def records(self) -> RecordMaker:
        """What makes the records."""
        return RecordMaker(self.name, ImageReader(self.input), self._ask, self.sampling, self.decoder)


@dataclass(frozen=True, kw_only=True)
class SplitFolder(LabelledFolder):
    """A labelled folder whose splits are decided by options."""

    split_by: Annotated[
        Literal["ratio", "file", "folder"],
        Meta(
            description="what decides the split: the hash of the group (ratio), lists of files (file), or the folder "
            "above the classes (folder)"
        ),
    ] = "ratio"
    split_ratio: SplitRatio = "train=0.9,val=0.1"
    stratify: Annotated[
        bool, Meta(description="meet the shares of --split-ratio in every class, as nearly as whole groups can")
    ] = False
    split_files: Annotated[
        tuple[str, ...],
        Meta(description="lists of files, such as val=lists/testlist01.txt; every .txt beside the classes where empty"),
    ] = ()
    group: Annotated[
        str,
        Meta(
            description="regular expression that finds a file's group in its name, such as _(g\\d+)_; a group is never "
            "divided by ratio. Every file is its own where empty"
        ),
    ] = ""

    def __post_init__(self) -> None:
        """Refuse options that cannot work before anything is read."""
        if self.split_files and self.split_by != "file":
            raise UsageError(f"--split-files means nothing with --split-by {self.split_by}; give --split-by file")
        if self.stratify and self.split_by != "ratio":
            raise UsageError(f"--stratify means nothing with --split-by {self.split_by}; give --split-by ratio")
        super().__post_init__()
        self._ratios  # noqa: B018 - made here, kept for later

    def find_layout(self) -> Layout:
        """Tell how the files lie in the input."""
        folder, kind = self.input, self.kind
        if self.split_by == "ratio":
            ratios, group_of, stratify = self._ratios, self.group_of, self.stratify
            return ByRatio(folder=folder, kind=kind, ratios=ratios, group_of=group_of, stratify=stratify)
        if self.split_by == "file":
            return ByLists(folder=folder, kind=kind, lists=_of_splits(self.split_files))
        return ByFolder(folder=folder, kind=kind)

    def _group_failure(self, path: str) -> str:
        return "" if not self.group or self.group_of(path) else f"its name has no group that {self.group!r} finds"

    @cached_property
    def _ratios(self) -> Ratios:
        return parse_ratios(self.split_ratio, self.seed)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        try:
            return re.compile(self.group)
        except re.error as error:
            raise UsageError(
                f"group {self.group!r} is not a regular expression ({error}); expected one such as _(g\\d+)_"
            ) from None


def _of_splits(lists: tuple[str, ...]) -> dict[str, list[str]]:
    """Group lists by split: `val=lists/testlist01.txt`, or `val.txt`, which is named for its split."""
    found: dict[str, list[str]] = {}
    for text in lists:
        split, equals, name = text.partition("=")
        found.setdefault(split if equals else split_name(PurePosixPath(text).stem), []).append(name if equals else text)
    return found
