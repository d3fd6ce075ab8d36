"""What video-folder and image-folder share: files in folders by class, and which split each belongs to."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from ...schema.errors import UsageError
from ...schema.record import Record, Turn
from ...storage import Folder
from ..base import Item
from ..prompts import Prompts
from ..splits import Ratios, SplitRatio, parse_ratios
from .class_folders import Kind, check_labels
from .labelled_files import ByFolder, ByLists, ByRatio, LabelledFiles

__all__ = ["LabelPrompt", "LabelledFolder", "SplitBy"]

SplitBy: TypeAlias = Literal["ratio", "file", "folder"]
LabelPrompt: TypeAlias = Annotated[
    tuple[str, ...], Meta(description="what is asked, with {{ labels }} in it; of several, one is drawn a record")
]


@dataclass(frozen=True, kw_only=True)
class LabelledFolder(ABC):
    """A folder of classes, or of splits with classes inside; the classes' names are the answers."""

    name: ClassVar[str]
    kind: ClassVar[Kind]

    input: Folder
    prompt: LabelPrompt
    split_by: Annotated[
        SplitBy,
        Meta(
            description="what decides the split: the hash of the group (ratio), lists of files (file), or the folder "
            "above the classes (folder)"
        ),
    ] = "ratio"
    split_ratio: SplitRatio = "train=0.9,val=0.1"
    split_files: Annotated[
        tuple[str, ...],
        Meta(description="lists of files, such as val=lists/testlist01.txt; every .txt beside the classes where empty"),
    ] = ()
    group: Annotated[
        str,
        Meta(
            description="regular expression that finds a file's group in its name, such as _(g\\d+)_; a group is never "
            "parted by ratio. Every file is its own where empty"
        ),
    ] = ""

    @property
    @abstractmethod
    def prompt_seed(self) -> int:
        """The seed that one of several prompts is drawn by."""

    def __post_init__(self) -> None:
        """Refuse options that cannot work before anything is read."""
        if self.split_files and self.split_by != "file":
            raise UsageError(f"split_files means nothing with split_by {self.split_by}; give --split-by file")
        self._prompts, self._ratios, self._pattern  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every file, numbered through: by class and name, or the splits in turn where lists or folders decide.

        Raises:
            InputError: the input is no such folder, or holds something that would be left out unsaid.
        """
        check_labels(self.input, self._labels)
        for number, file in enumerate(self._files.files()):
            group = self._group_of(file.path)
            lost = "" if group or not self.group else f"its name has no group that {self.group!r} finds"
            yield Item(
                id=f"{file.split}-{number:010d}",
                split=file.split,
                path=self._files.base + file.path,
                file=self._files.base + file.path,
                images=f"{file.split}/{file.label}/{file.image}",
                data={"label": file.label, **({"group": group} if group else {})},
                failure=file.fault or lost,
            )

    def record(self, item: Item, images: list[str], origin: dict[str, Any]) -> Record:
        """Make the record of an item: which class do these images show?

        Args:
            item: one file.
            images: its images.
            origin: where they come from.
        """
        question = self._prompts.render(item.id, {"labels": self._labels})
        label = item.data["label"]
        group = {"group": item.data["group"]} if "group" in item.data else {}
        return Record(
            id=item.id,
            source=self.name,
            conversations=[Turn(images=images, user=question, assistant=label)],
            meta={**group, "label": label, **origin},
        )

    def below_base(self, item: Item) -> str:
        """Return where an item lies, without the folder that an archive may have put around everything."""
        return item.file.removeprefix(self._files.base)

    def _group_of(self, path: str) -> str:
        match = self._pattern.search(PurePosixPath(path).name) if self.group else None
        return (match[1] if self._pattern.groups else match[0]) or "" if match else ""

    @cached_property
    def _files(self) -> LabelledFiles:
        if self.split_by == "ratio":
            return ByRatio(self.input, self.kind, self._ratios, self._group_of)
        if self.split_by == "file":
            return ByLists(self.input, self.kind, self.split_files)
        return ByFolder(self.input, self.kind)

    @cached_property
    def _labels(self) -> list[str]:
        return self._files.labels()

    @cached_property
    def _ratios(self) -> Ratios:
        return parse_ratios(self.split_ratio)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        try:
            return re.compile(self.group)
        except re.error as error:
            raise UsageError(
                f"group {self.group!r} is no regular expression ({error}); expected one such as _(g\\d+)_"
            ) from None

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.prompt, self.prompt_seed, names=["labels"])
