"""Anybody's dataset on the Hugging Face hub: whatever `datasets` can load, and which columns mean what.

One raw sample is one row. One laid out like those of `nielsr/docvqa_1200_examples` has its page in a Parquet cell::

    {"id": "train_0", "image": {"bytes": ..., "path": null},
     "query": {"de": "...", "en": "What is the date on the letter?"}, "answers": ["May 4.", "4 May"]}

With `--images image --prompt '{{ query.en }}' --answer answers --id id` it becomes a record like that of
docs/sources/hub.md. Files are fetched into the hub's own cache. Parquet, Arrow, JSON and CSV files are read row by row;
every other kind by `datasets`, as a stream. A column of numbers of classes has the classes' names. No code of a dataset
is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from msgspec import Meta

from ...schema.splits import split_name
from ...storage import Folder, LocalFolder
from ..input.hub import fetch_file
from ..input.hub_dataset import FILES, HubStream, HubView, make_view, read_view, with_class_names
from ..mapping.columns import RowMapping
from ..rows import ROW_SUFFIXES, ImageReader, Row, read_rows

# The builders of `datasets` whose files our own reader takes, row by row, with a failure for each that is not one.
_READ_HERE = {"arrow", "csv", "json", "parquet"}


@dataclass(frozen=True, kw_only=True)
class Hub(RowMapping):
    """Rows of a dataset on the Hugging Face hub, by a mapping of their columns."""

    name: ClassVar[str] = "hub"

    repo: Annotated[str, Meta(min_length=1), "dataset on the hub, such as nielsr/docvqa_1200_examples"]
    subset: Annotated[str, "configuration of the dataset; its default where not given"] = ""
    revision: Annotated[str, Meta(min_length=1), "branch, tag or commit of the dataset"] = "main"
    hub_splits: Annotated[tuple[str, ...], "split to fetch; all of them where not given"] = ()

    def fetch_input(self) -> Path:
        """Fetch the dataset's files into the hub's cache, and return the folder that says what they are."""
        return make_view(self.repo, self.subset, self.revision, self.hub_splits)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Yield every row of every split; raises InputError where the input is not what `fetch_input` made."""
        for split, files in self._view.splits.items():
            own = (read_rows(self._files, file) for file in files)
            for row in chain.from_iterable(own if self._is_read_here else [self._stream(split).rows()]):
                values = row.values and with_class_names(row.values, self._view.classes)
                yield split_name(split), row._replace(values=values)

    @cached_property
    def reader(self) -> ImageReader:
        """What reads the rows' images; a file that a row names is fetched where the dataset's own files are not it."""
        cells = None if self._is_read_here else lambda split, *place: self._stream(split).read(*place)
        return ImageReader(self._files, cells, lambda path: fetch_file(self.repo, path, self._view.commit).read_bytes())

    @cached_property
    def _view(self) -> HubView:
        return read_view(self.input)

    @cached_property
    def _files(self) -> Folder:
        return LocalFolder(Path(self.input.address) / FILES)

    @cached_property
    def _is_read_here(self) -> bool:
        suffixes = {PurePosixPath(file).suffix.lower() for files in self._view.splits.values() for file in files}
        return self._view.module in _READ_HERE and not self._view.arguments and suffixes <= set(ROW_SUFFIXES)

    @cached_property
    def _stream(self) -> Callable[[str], HubStream]:
        """The stream of a split, opened when its first row is asked for."""
        return lru_cache(None)(partial(HubStream, self._view, Path(self.input.address)))
