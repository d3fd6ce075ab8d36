"""All records that are validated together: where each lies, and what they share."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ...storage import Folder, LocalFolder
from ..dataset import Dataset
from ..errors import RecordError
from ..index.columns import ColumnFiles, Repeats, repeats_in
from ..index.facts_table import FactsTable
from ..jsonl import open_lines
from ..record import decode_record
from .lean import LeanRecord, decode_lean
from .scan import COLUMNS, Part
from .settings import Settings
from .shown import REFERENCES

_SKIP = 1 << 20


class At(NamedTuple):
    """What a rule found in many records together.

    Args:
        message: what is wrong.
        row: the record to blame; -1 where it is a split.
        source: number of the dataset, where it is a split.
        file: of the split.
        image: the image to blame.
    """

    message: str
    row: int = -1
    source: int = 0
    file: str = ""
    image: str = ""


@dataclass
class Source:
    """A dataset as it is validated.

    Args:
        dataset: what was opened.
        address: as it was given.
        tables: where tables about it are kept; None where nowhere.
        records: records read, a split; also those lines that are none.
        images: images that the records of a split show.
        labels: how often each label stands in a split.
        unreadable: lines that are not records, a split.
        facts: of its images; None where they were not looked at.
    """

    dataset: Dataset
    address: str
    tables: LocalFolder | None = None
    records: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)
    facts: FactsTable | None = None


@dataclass(frozen=True)
class _File:
    source: int
    split: str
    name: str
    row: int  # of its first record
    reference: int  # of its first image


class Corpus:
    """The records of one or more datasets; on disk, as far as it is more than a few numbers.

    Args:
        sources: the datasets.
        settings: how data is validated.
        folder: for files that are removed afterwards.
    """

    def __init__(self, sources: list[Source], settings: Settings, folder: Path) -> None:
        self.sources = sources
        self.settings = settings
        self.notes: list[str] = []
        """What rules could not look at, and why."""
        self._rows = ColumnFiles(folder, "records", COLUMNS)
        self._references = ColumnFiles(folder, "images", REFERENCES)
        self._files: list[_File] = []
        self._packed = _PackedReader()

    def begin(self, source: int, split: str, name: str) -> None:
        """Begin a file: the parts that follow are its."""
        self._files.append(_File(source, split, name, self._rows.rows, self._references.rows))

    def append(self, part: Part, line: int) -> None:
        """Add what was found in a part of the file.

        Args:
            part: its records.
            line: lines of the file before it.
        """
        # What came from another machine is read-only.
        rows, references = part.rows.copy(), part.images.references.copy()
        rows["line"] += np.uint64(line + 1)
        references["record"] += np.uint64(self._rows.rows)
        self._rows.append(rows)
        self._references.append(references)

    def __len__(self) -> int:
        return self._rows.rows

    @property
    def splits(self) -> list[str]:
        """The names of all splits, each once."""
        return list(dict.fromkeys(file.split for file in self._files))

    def column(self, name: str) -> npt.NDArray[np.uint64]:
        """Return a column of the records; see `scan.COLUMNS`."""
        return self._rows.column(name)

    def references(self, name: str) -> npt.NDArray[np.uint64]:
        """Return a column of the images that records show; see `shown.REFERENCES`."""
        return self._references.column(name)

    def image_keys(self, source: int) -> npt.NDArray[np.uint64]:
        """Return the keys of the images that the records of a dataset show, sorted, each once."""
        records, keys = self.references("record"), self.references("image")
        if len(self.sources) > 1:
            keys = keys[self.source_numbers(records) == source]
        # `np.unique` builds a hash table, which takes longer.
        found: npt.NDArray[np.uint64] = np.sort(keys)
        is_first = np.ones(len(found), np.bool_)
        is_first[1:] = found[1:] != found[:-1]
        return found[is_first]

    def repeats(self, column: str) -> Iterator[Repeats]:
        """Yield the records that share a value of a column."""
        return repeats_in(self.column(column))

    def split_numbers(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the place in `splits` of each row's split."""
        names = self.splits
        of_files = np.array([names.index(file.split) for file in self._files])
        return of_files[self._file_numbers(rows)]

    def source_numbers(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the place in `sources` of each row's dataset."""
        return np.array([file.source for file in self._files])[self._file_numbers(rows)]

    def _file_numbers(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        firsts = np.array([file.row for file in self._files])
        return np.searchsorted(firsts, rows, "right") - 1

    def place(self, row: int) -> tuple[Source, str, int]:
        """Return the dataset, the file and the line of a record."""
        file = self._file_of(row)
        return self.sources[file.source], file.name, int(self.column("line")[row])

    def where(self, row: int) -> str:
        """Name a record's place for people; with the dataset where there are several."""
        source, file, line = self.place(row)
        return f"{source.address}/{file}:{line}" if len(self.sources) > 1 else f"{file}:{line}"

    def split(self, row: int) -> str:
        """Return the split of a record."""
        return self._file_of(row).split

    def read(self, row: int) -> LeanRecord:
        """Read a record again."""
        file = self._file_of(row)
        folder = self.sources[file.source].dataset.folder
        offset, size = int(self.column("offset")[row]), int(self.column("size")[row])
        if _is_packed(file.name):
            data = self._packed.read(folder, file.name, offset, size)
        else:
            with folder.open(file.name) as stream:
                stream.seek(offset)
                data = stream.read(size)
        return decode_lean(data.removeprefix(b"\xef\xbb\xbf"))

    def _file_of(self, row: int) -> _File:
        return self._files[bisect_right(self._files, row, key=lambda file: file.row) - 1]

    def image_bytes(self, reference: int) -> bytes:
        """Read the file of an image that a record shows; empty where it cannot be read."""
        row, number = int(self.references("record")[reference]), int(self.references("number")[reference])
        source = self.sources[self._file_of(row).source]
        try:
            record = decode_record(msgspec.json.encode(self.read(row)))
            with source.dataset.images.open(record, number) as stream:
                return stream.read()
        except (OSError, RecordError):
            return b""

    def image_name(self, reference: int) -> str:
        """Return the path of an image that a record shows, as the record has it."""
        row, number = int(self.references("record")[reference]), int(self.references("number")[reference])
        names = [name for turn in self.read(row).conversations for name in turn.images or ()]
        return names[number] if number < len(names) else ""

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the files at the end of the block."""
        try:
            yield
        finally:
            self._rows.close()
            self._references.close()
            self._packed.close()


class _PackedReader:
    """Reads parts of compressed files, one behind the other; the way back leads over the file's start."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._name, self._at = ("", ""), 0
        self._stream: IO[bytes] | None = None

    def read(self, folder: Folder, name: str, offset: int, size: int) -> bytes:
        if self._stream is None or self._name != (folder.address, name) or offset < self._at:
            self.close()
            self._stream = self._open.enter_context(open_lines(folder, name))
            self._name, self._at = (folder.address, name), 0
        while self._at < offset:
            self._at += len(self._stream.read(min(_SKIP, offset - self._at)))
        self._at += size
        return self._stream.read(size)

    def close(self) -> None:
        self._open.close()
        self._stream = None


def _is_packed(name: str) -> bool:
    return name.endswith((".gz", ".zst"))
