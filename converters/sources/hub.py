"""Anybody's dataset on the Hugging Face hub: whatever `datasets` can load, and which columns mean what.

One raw sample is one row. One laid out like those of `nielsr/docvqa_1200_examples` has its page in a Parquet cell::

    {"id": "train_0", "image": {"bytes": ..., "path": null},
     "query": {"de": "...", "en": "What is the date on the letter?"}, "answers": ["May 4.", "4 May"]}

With `--images image --prompt '{{ query.en }}' --answer answers --id id` it becomes one record::

    {"id": "train-train_0", "source": "hub",
     "conversations": [{"images": ["train/0000000000.0.jpg"], "user": "What is the date on the letter?",
                        "assistant": "May 4.", "answers": ["May 4.", "4 May"]}],
     "meta": {"row": "data/train-00000-of-00001.parquet, row 1"}}

Its files are fetched into the hub's own cache. Parquet, Arrow, JSON and CSV files are read row by row; every other
kind by `datasets`, as a stream. A column of numbers of classes has the classes' names. No code of a dataset is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...storage import Folder, LocalFolder
from ..input.hub_dataset import FILES, HubView, make_view, read_view, with_class_names
from ..input.hub_stream import HubStream
from ..mapping.columns import FoundRow, RowMapping
from ..mapping.media import Shown
from ..rows import ROW_SUFFIXES, Row, RowImages, read_rows

__all__ = ["Hub"]

# The builders of `datasets` whose files our own reader takes, row by row and faults one by one.
_READ_HERE = {"arrow", "csv", "json", "parquet"}


@dataclass(frozen=True, kw_only=True)
class Hub(RowMapping):
    """Rows of a dataset on the Hugging Face hub, by a mapping of their columns."""

    name: ClassVar[str] = "hub"

    repo: Annotated[str, Meta(min_length=1, description="the dataset, such as nielsr/docvqa_1200_examples")]
    subset: Annotated[str, Meta(description="its configuration; the default one where not given")] = ""
    revision: Annotated[str, Meta(min_length=1, description="a branch, tag or commit of it")] = "main"
    hub_splits: Annotated[tuple[str, ...], Meta(description="a split of it to fetch; all of them where not given")] = ()

    def fetch_input(self) -> Path:
        """Fetch the dataset's files into the hub's cache, and return the folder that says what they are."""
        return make_view(self.repo, self.subset, self.revision, self.hub_splits)

    def rows(self) -> Iterator[FoundRow]:
        """Yield every row of every split.

        Raises:
            InputError: the input is not what `fetch_input` made, or cannot be read.
        """
        for split, files in self._view.splits.items():
            name = {"validation": "val"}.get(split, split)
            for file, row in self._rows(split, files):
                values = row.values and with_class_names(row.values, self._view.classes)
                yield FoundRow(file, name, row._replace(values=values))

    def read_cell(self, file: str, number: int, shown: Shown) -> bytes:
        """Return the bytes in a cell."""
        if self._is_read_here:
            return self._cells.read(file, number, shown.column, shown.which)
        return self._stream(file).read(number, shown.column, shown.which)

    def read_file(self, path: str) -> bytes:
        """Return the bytes of a file of the dataset that a row names; it is fetched where it was not needed before."""
        if not self.folder.exists(path):
            from ..input.hub import fetch_file

            return fetch_file(self.repo, path, self._view.commit).read_bytes()
        return self.folder.read(path)

    @cached_property
    def folder(self) -> Folder:
        """The dataset's files."""
        return LocalFolder(Path(self.input.address) / FILES)

    def _rows(self, split: str, files: list[str]) -> Iterator[tuple[str, Row]]:
        if not self._is_read_here:
            for number, values in enumerate(self._stream(split).rows()):
                yield split, Row(f"{split}, row {number}", number, values)
            return
        for file in files:
            for row in read_rows(self.folder, file):
                yield file, row

    @cached_property
    def _view(self) -> HubView:
        return read_view(self.input)

    @cached_property
    def _is_read_here(self) -> bool:
        files = [file for files in self._view.splits.values() for file in files]
        suffixes = {PurePosixPath(file).suffix.lower() for file in files}
        return self._view.module in _READ_HERE and not self._view.arguments and suffixes <= set(ROW_SUFFIXES)

    @cached_property
    def _cells(self) -> RowImages:
        return RowImages(self.folder)

    @cached_property
    def _streams(self) -> dict[str, HubStream]:
        return {}

    def _stream(self, split: str) -> HubStream:
        if split not in self._streams:
            self._streams[split] = HubStream(self._view, Path(self.input.address), split)
        return self._streams[split]
