"""A dataset as files of a chat format, a file a split, with the images beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from ...schema.dataset import Dataset
from ...schema.errors import DatasetError, OutputError
from ...schema.layout import IMAGES
from ...schema.progress import Progress, followed, silent
from ...schema.record import Record
from ...storage import Folder
from ...storage.outage import one_line, outage
from .writing import FORMATS, Format


class ExportedSplit(NamedTuple):
    """One split that was written: its name, its file, its records, and the images copied for them."""

    split: str
    file: str
    records: int
    images: int


def export_chat(dataset: Dataset, form: str, out: Folder, progress: Progress = silent) -> Iterator[ExportedSplit]:
    """Write every split of a dataset, one after the other, as `<split>.json` or `<split>.jsonl`.

    Images are copied to `images/`, under the paths that records show them by, and rows name them relative to `out`:
    so that the folder can be moved, and holds all that is needed.

    Args:
        form: one of `FORMATS`.
        out: a folder that is empty or not there yet.

    Raises:
        OutputError: the folder holds something, or cannot be written.
        DatasetError: a record cannot be read, or an image of it is missing.
        UsageError: a record says what the format has no way to say.
    """
    with _output_errors(out):
        if out.exists("") and out.list():
            raise OutputError(f"{out.address}: not empty; name another folder, or remove it")
    copied: set[str] = set()
    for split in dataset.splits:
        before = len(copied)
        name = f"{split}{FORMATS[form].suffix}"
        with _output_errors(out):
            records = _write(dataset, split, FORMATS[form], out, name, copied, progress)
        yield ExportedSplit(split, name, records, len(copied) - before)


@contextmanager
def _output_errors(out: Folder) -> Iterator[None]:
    """Report by OutputError, in one line, why a folder cannot be written."""
    try:
        yield
    except (NotADirectoryError, FileExistsError):
        raise OutputError(f"{out.address}: not a folder; give an empty or new folder as --out") from None
    except OSError as error:
        raise OutputError(
            f"{out.address}: cannot be written ({outage(error) or one_line(error)}); choose another --out"
        ) from error


def _write(
    dataset: Dataset, split: str, form: Format, out: Folder, name: str, copied: set[str], progress: Progress
) -> int:
    start, between, end = (b"[\n", b",\n", b"\n]\n") if form.suffix == ".json" else (b"", b"\n", b"\n")
    stated = dataset.manifest.splits if dataset.manifest else []
    number, total = 0, sum(row.records for row in stated if row.split == split)
    records = followed(dataset.records(split), progress, f"Writing {split}", "records", total)
    with out.create(name) as stream:
        for number, record in enumerate(records, start=1):
            _copy_images(dataset, record, out, copied)
            stream.write(start if number == 1 else between)
            stream.write(msgspec.json.encode(form.row(record)))
        stream.write(end if number else start + end.lstrip())
    return number


def _copy_images(dataset: Dataset, record: Record, out: Folder, copied: set[str]) -> None:
    for number, image in enumerate(record.images()):
        if image in copied:
            continue
        try:
            with dataset.images.open(record, number) as source, out.create(f"{IMAGES}/{image}") as target:
                shutil.copyfileobj(source, target)
        except FileNotFoundError:
            place = dataset.images.place(record, number)
            raise DatasetError(f"{dataset.folder.address}/{place}: missing; convert the data again") from None
        copied.add(image)
