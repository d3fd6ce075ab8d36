"""The records that runs were asked about: texts, images and thumbnails, as far as the data is still there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from PIL import Image

from ...schema.dataset import Dataset, open_dataset
from ...schema.errors import DatasetError, UsageError
from ...schema.layout import IMAGES
from ...schema.record import Record
from ...storage import Folder, is_remote
from ..run_files import RunFiles
from .thumbnails import thumbnail

_UNREADABLE = (OSError, ValueError, RuntimeError, SyntaxError, Image.DecompressionBombError, DatasetError)
_LONGEST = 4000


class Question(msgspec.Struct, array_like=True):
    """What was asked: the turn's text, every acceptable answer, and the images shown so far, each with its address."""

    text: str = ""
    answers: list[str] = []
    images: list[tuple[str, str]] = []


class Questions:
    """Looks records up by id in the datasets of runs.

    Args:
        runs: whose data it is.
        out: the report's folder.
        out_address: its address.
        copy_images: whether images are copied into the report; None: only where a page cannot reach them.
    """

    def __init__(self, runs: Sequence[RunFiles], out: Folder, out_address: str, copy_images: bool | None) -> None:
        self._out, self._out_address, self._copy = out, out_address, copy_images
        self._datasets = list(_datasets(runs))
        self._found: dict[tuple[str, str], tuple[Dataset, Record]] = {}
        self.missing = not self._datasets
        """Whether no dataset of the runs could be found."""

    def look_up(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Find records by split and id; those that are nowhere have no text and no image."""
        by_split: dict[str, set[str]] = {}
        for split, identity in wanted:
            by_split.setdefault(split, set()).add(identity)
        for dataset in self._datasets:
            for split in by_split.keys() & set(dataset.splits):
                with contextlib.suppress(*_UNREADABLE):
                    for record in dataset.records(split):
                        if record.id in by_split[split]:
                            self._found.setdefault((split, record.id), (dataset, record))

    def question(self, split: str, identity: str, turn: int) -> Question:
        """Return what was asked."""
        if (split, identity) not in self._found:
            return Question()
        dataset, record = self._found[split, identity]
        turns = record.conversations[: turn + 1]
        if len(turns) <= turn:
            return Question()
        shown = sum(len(each.images) for each in turns)
        images = [(path, self._address(dataset, record, which)) for which, path in enumerate(record.images())][:shown]
        accepted = turns[turn].answers
        return Question(turns[turn].user[:_LONGEST], accepted if isinstance(accepted, list) else [], images)

    def thumbnail(self, split: str, identity: str, turn: int) -> Image.Image | None:
        """Return the thumbnail of the last image shown before the turn's answer; None without one."""
        if (split, identity) not in self._found:
            return None
        dataset, record = self._found[split, identity]
        before = sum(len(each.images) for each in record.conversations[: turn + 1])
        first_of_turn = before - len(record.conversations[turn].images) if turn < len(record.conversations) else 0
        which = first_of_turn if first_of_turn < before else before - 1
        if which < 0:
            return None
        try:
            with dataset.images.open(record, which) as stream:
                return thumbnail(io.BytesIO(stream.read()))
        except _UNREADABLE:
            return None

    def _address(self, dataset: Dataset, record: Record, which: int) -> str:
        """Return where a page finds an image, copied there if need be; "" where it cannot be read."""
        path = list(record.images())[which]
        linked = not (dataset.shards or is_remote(dataset.folder.address) or is_remote(self._out_address))
        if linked and not self._copy:
            base = os.path.relpath(Path(dataset.folder.address, IMAGES).resolve(), Path(self._out_address).resolve())
            return f"{Path(base).as_posix()}/{path}"
        try:
            with dataset.images.open(record, which) as stream:
                data = stream.read()
            with Image.open(io.BytesIO(data)) as image:
                form = (image.format or "").lower()
        except _UNREADABLE:
            return ""
        digest = hashlib.sha256(f"{dataset.folder.address}\n{path}".encode()).hexdigest()[:20]
        copied = f"data/images/{digest}.{form}"
        if not self._out.exists(copied):
            self._out.write(copied, data)
        return copied


def _datasets(runs: Sequence[RunFiles]) -> Iterable[Dataset]:
    """Open the datasets of runs: where run.json says, or beside the run, where it was moved together with its data."""
    seen = set()
    for run in runs:
        for data in run.data:
            if data.sha256 in seen:
                continue
            dataset = _opened(data.address, run.path)
            if dataset is not None:
                seen.add(data.sha256)
                yield dataset


def _opened(address: str, run: Path) -> Dataset | None:
    try_open: Callable[[str], Dataset] = open_dataset
    places = [address]
    if not is_remote(address) and not Path(address).is_absolute():
        places += [str(above / address) for above in run.resolve().parents]
    for place in places:
        with contextlib.suppress(UsageError, OSError):
            return try_open(place)
    return None
