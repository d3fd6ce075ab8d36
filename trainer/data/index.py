"""Where each record of a split lies, so that any of them is read without the others."""

from __future__ import annotations

import numpy as np

from ...schema.dataset import Dataset
from ...schema.errors import DatasetError, RecordError
from ...schema.jsonl import read_lines
from ...schema.record import Record, decode_record

__all__ = ["RecordIndex"]


class RecordIndex:
    """The records of one split, by number.

    Built by one pass over the file; it keeps a byte offset a record and nothing else.

    Args:
        dataset: where they lie.
        split: which of them.

    Raises:
        DatasetError: there is no such split, or it is empty.
    """

    def __init__(self, dataset: Dataset, split: str) -> None:
        if split not in dataset.files:
            raise DatasetError(f"{dataset.folder.address}: no split {split!r}; there are: {', '.join(dataset.files)}")
        self.dataset = dataset
        self.split = split
        lines = read_lines(dataset.folder, dataset.files[split])
        self._offsets = np.fromiter((line.offset for line in lines), dtype=np.int64)
        if not len(self._offsets):
            raise DatasetError(f"{dataset.folder.address}/{dataset.files[split]}: no records")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> Record:
        """Read one record.

        Raises:
            RecordError: the line is no record; names the file and the byte.
        """
        offset, name = int(self._offsets[number]), self.dataset.files[self.split]
        with self.dataset.folder.open(name) as stream:
            stream.seek(offset)
            line = stream.readline()
        try:
            return decode_record(line)
        except RecordError as error:
            raise RecordError(f"{name}, byte {offset}: {error}") from error
