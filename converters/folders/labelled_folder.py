"""Files in folders by class: what ucf101, video-folder and image-folder share."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from ...schema.errors import InputError, UsageError
from ...schema.splits import split_name
from ...storage import name_key
from ..base import Item
from ..prompts import Prompts
from ..rows import ImageRef
from ..sample import Sample, SampleSource, SampleTurn
from ..splits import Ratios, SplitRatio, parse_ratios, stratified
from ..video import Decoder
from ..video.sampling import Sampling
from .layouts import CLIPS, ByFolder, ByLists, Kind, LabelledFile, Layout

LabelPrompt: TypeAlias = Annotated[
    tuple[str, ...], "the user's text, with {{ labels }} in it; of several, one is drawn for each record"
]


@dataclass(frozen=True, kw_only=True)
class LabelledFolder(SampleSource):
    """A folder of classes, or of splits with classes inside; the classes' names are the answers."""

    kind: ClassVar[Kind]

    prompt: LabelPrompt

    def __post_init__(self) -> None:
        self._prompts  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every file, numbered through: by class and name, or the splits in turn where lists or folders decide.

        Raises:
            InputError: the input is not such a folder, or holds something that would be left out silently.
        """
        self._check_labels()
        for number, file in enumerate(self.layout.files()):
            split = self.split_of(file) if file.split is None else file.split
            path, is_clip = self.layout.base + file.path, self.kind is CLIPS
            group = self.group_of(file.path)
            meta = {"group": group, "label": file.label, "video" if is_clip else "image": file.path}
            sample = Sample(
                turns=[SampleTurn(assistant=file.label)],
                images=[] if is_clip else [ImageRef(path)],
                clips=[ImageRef(path)] if is_clip else [],
                meta={name: value for name, value in meta.items() if value},
                hashed={} if is_clip else {"sha256": 64},
            )
            failure = file.failure or ("" if group else self._no_group)
            yield sample.item(f"{split}-{number:010d}", split, path, f"{split}/{file.image}", failure=failure)

    @property
    @abstractmethod
    def seed(self) -> int:
        """What every draw is seeded with."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """How the files lie in the input."""

    @abstractmethod
    def group_of(self, path: str) -> str:
        """Return the group that a file's name tells, "" where it tells none."""

    def split_of(self, file: LabelledFile) -> str:
        """Return the split of a file where the layout names none."""
        return "train"

    def ask(self, record_id: str, values: Mapping[str, Any]) -> str:
        """Return the user's text, which may name the classes."""
        return super().ask(record_id, {"labels": self._labels})

    def _check_labels(self) -> None:
        """Make sure that classes can be written down, and told apart by every file system."""
        seen: dict[str, str] = {}
        for label in self._labels:
            try:
                label.encode()
            except UnicodeEncodeError:
                raise InputError(
                    f"{self.input.address}: the class {label!a} is not named in UTF-8; rename it"
                ) from None
            earlier = seen.setdefault(name_key(label), label)
            if earlier != label:
                raise InputError(
                    f"{self.input.address}: the classes {earlier!a} and {label!a} differ only in case or in how "
                    "Unicode spells them; give them one name"
                )

    @cached_property
    def _labels(self) -> list[str]:
        return self.layout.labels()

    @property
    def _no_group(self) -> str:
        """Why a file without a group fails; "" where it does not."""
        return ""

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.prompt, self.seed, names=["labels"])


@dataclass(frozen=True, kw_only=True)
class LabelledClips(LabelledFolder):
    """A labelled folder of clips."""

    kind: ClassVar[Kind] = CLIPS

    prompt: LabelPrompt = ("Classify the video into one of the following classes: {{ labels | join(', ') }}.",)
    sampling: Annotated[Sampling, "which frames are shown"] = field(default_factory=Sampling)
    decoder: Annotated[Decoder, "library that reads the frames"] = "auto"

    @property
    def seed(self) -> int:
        """The seed of the sampling: one seed for all that is drawn."""
        return self.sampling.seed


@dataclass(frozen=True, kw_only=True)
class SplitFolder(LabelledFolder):
    """A labelled folder whose splits are decided by options."""

    split_by: Annotated[
        Literal["ratio", "file", "folder"],
        "what decides the split: the hash of the group (ratio), lists of files (file), or the folder above the "
        "classes (folder)",
    ] = "ratio"
    split_ratio: SplitRatio = "train=0.9,val=0.1"
    stratify: Annotated[bool, "meet the shares of --split-ratio in every class, as nearly as whole groups can"] = False
    split_files: Annotated[
        tuple[str, ...], "lists of files, such as val=lists/testlist01.txt; every .txt beside the classes where empty"
    ] = ()
    group: Annotated[
        str,
        "regular expression that finds a file's group in its name, such as _(g\\d+)_; a group is never divided by "
        "ratio. Every file is its own where empty",
    ] = ""

    def __post_init__(self) -> None:
        for option, given, use in (("--split-files", self.split_files, "file"), ("--stratify", self.stratify, "ratio")):
            if given and self.split_by != use:
                raise UsageError(f"{option} means nothing with --split-by {self.split_by}; give --split-by {use}")
        super().__post_init__()
        self._ratios, self._pattern  # noqa: B018 - made here, kept for later

    @cached_property
    def layout(self) -> Layout:
        """How the files lie in the input."""
        if self.split_by == "file":
            lists = [_split_and_list(text) for text in self.split_files]
            return ByLists(folder=self.input, kind=self.kind, lists=lists)
        return (ByFolder if self.split_by == "folder" else Layout)(folder=self.input, kind=self.kind)

    def group_of(self, path: str) -> str:
        """Return what the pattern finds, or its first group, if it has one."""
        match = self._pattern.search(PurePosixPath(path).name) if self.group else None
        return match[1 if self._pattern.groups else 0] or "" if match else ""

    def split_of(self, file: LabelledFile) -> str:
        """Return the split that the hash of a file's group decides; a file without one is its own."""
        key = self.group_of(file.path) or file.path
        return self._stratified[key] if self.stratify else self._ratios.split_of(key)

    @cached_property
    def _stratified(self) -> Mapping[str, str]:
        label_of: dict[str, str] = {}
        for file in self.layout.files():
            # A group in several classes counts in its first.
            label_of.setdefault(self.group_of(file.path) or file.path, file.label)
        return stratified(self._ratios, label_of)

    @property
    def _no_group(self) -> str:
        return f"its name has no group that {self.group!r} finds" if self.group else ""

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


def _split_and_list(text: str) -> tuple[str, str]:
    """Read `val=lists/testlist01.txt`, or `val.txt`, which is named for its split."""
    split, equals, name = text.partition("=")
    return (split, name) if equals else (split_name(PurePosixPath(text).stem), text)
