"""Rows of a dataset that only `datasets` can read, forward: folders of images, WebDataset, text and the like."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec

from ...schema.errors import InputError, ItemError
from ..rows.image_ref import Steps
from ..rows.row_images import bytes_at
from .hub_dataset import FILES, HubView, class_names, with_class_names

__all__ = ["HubStream", "HubStreams"]


class HubStream:
    """One split of the view that lies in a folder, row by row, bytes and all; going back starts it again."""

    def __init__(self, view: HubView, folder: Path, split: str) -> None:
        self._view, self._folder, self._split = view, folder, split
        self._examples: Iterator[dict[str, Any]] = iter(())
        self._number = -1
        self._example: dict[str, Any] | None = None
        self._classes: dict[str, list[str]] = {}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every row as plain JSON values; the bytes of an image are `{"path": str | None, "bytes": true}`.

        Classes have their names, which only the open stream knows.

        Raises:
            InputError: `datasets` cannot read on.
        """
        for example in self._open():
            row = {name: _plain(value) for name, value in example.items()}
            yield with_class_names(row, self._classes)

    def read(self, number: int, column: str, steps: Steps) -> bytes:
        """Return the bytes of an image.

        Args:
            number: the row, from 0.
            column: its column.
            steps: keys and indexes that lead from the cell to the bytes.

        Raises:
            ItemError: there are none at this place.
        """
        if self._example is None or number < self._number:
            self._examples, self._number = self._open(), -1
        while self._number < number:
            self._example = next(self._examples, None)
            self._number += 1
            if self._example is None:
                raise ItemError(f"{self._split}, row {number + 1}: there is none; was the dataset replaced?")
        place = f"{self._split}, row {number + 1}, column {column}"
        return bytes_at((self._example or {}).get(column), steps, place)

    def _open(self) -> Iterator[dict[str, Any]]:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError

        paths = [str(self._folder / FILES / path) for path in self._view.splits[self._split]]
        try:
            stream = load_dataset(
                self._view.module,
                data_files={self._split: paths},
                split=self._split,
                streaming=True,
                **self._view.arguments,
            )
            self._classes = class_names(stream.features)
            # What is of no known kind is not decoded anyway.
            yield from stream.decode(False) if stream.features else stream
        except (DatasetsError, ValueError, TypeError, KeyError) as error:
            message = " ".join(str(error).split())
            raise InputError(f"{self._view.repo}: `datasets` cannot read the split {self._split}: {message}") from error


class HubStreams:
    """The streams of the splits of a view, each opened when its first row is asked for."""

    def __init__(self, view: HubView, folder: Path) -> None:
        self.of = lru_cache(None)(partial(HubStream, view, folder))

    def read(self, file: str, row: int, column: str, steps: Steps) -> bytes:
        """Return the bytes of an image; the split stands for the file."""
        return self.of(file).read(row, column, steps)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"path": None, "bytes": True}
    if isinstance(value, dict):
        if isinstance(value.get("bytes"), bytes):
            return {"path": value.get("path"), "bytes": True}
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return msgspec.to_builtins(value, enc_hook=str)
