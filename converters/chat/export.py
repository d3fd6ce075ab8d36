"""A dataset as files of a chat format, a file a split, as its own tools read it, with the images beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from ...schema.dataset import Dataset
from ...schema.errors import DatasetError, OutputError, UsageError
from ...schema.layout import IMAGES
from ...schema.progress import Progress, followed, silent
from ...schema.record import Record, Turn
from ...storage import Folder
from ...storage.outage import one_line, outage
from .messages import MARK, put_marks
from .rows import OWN_KEY

_Row = dict[str, Any]


class ExportedSplit(NamedTuple):
    """One split that was written: its name, its file, its records, and the images copied for them."""

    split: str
    file: str
    records: int
    images: int


def export_chat(dataset: Dataset, form: str, out: Folder, progress: Progress = silent) -> Iterator[ExportedSplit]:
    """Write every split of a dataset, one after the other, as `<split>.json` or `<split>.jsonl`.

    `form` is one of `FORMATS`; `out` is empty or not there yet. Images are copied to `images/`, under the paths that
    records show them by, and rows name them relative to `out`: so that it can be moved, and holds all that is needed.

    Raises:
        OutputError: the folder holds something, or cannot be written.
        DatasetError: a record cannot be read, or an image of it is missing.
        UsageError: a record says what the format has no way to say.
    """
    with _output_errors(out):
        if out.exists("") and out.list():
            raise OutputError(f"{out.address}: not empty; name another folder, or remove it")
    copied: set[str] = set()
    suffix = FORMATS[form].suffix
    start, between, end = (b"[\n", b",\n", b"\n]\n") if suffix == ".json" else (b"", b"\n", b"\n")
    stated = dataset.manifest.splits if dataset.manifest else []
    for split in dataset.splits:
        name, number, before = f"{split}{suffix}", 0, len(copied)
        total = sum(row.records for row in stated if row.split == split)
        records = followed(dataset.records(split), progress, f"Writing {split}", "records", total)
        with _output_errors(out), out.create(name) as stream:
            for number, record in enumerate(records, start=1):
                _copy_images(dataset, record, out, copied)
                stream.write(start if number == 1 else between)
                stream.write(msgspec.json.encode(FORMATS[form].row(record)))
            stream.write(end if number else start + end.lstrip())
        yield ExportedSplit(split, name, number, len(copied) - before)


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


class Format(NamedTuple):
    """One format: the suffix of its files (.json holds an array, .jsonl a row a line), and what its rows have."""

    suffix: str
    content: Callable[[Record, list[str]], _Row]  # takes a record and the paths of its images

    def row(self, record: Record) -> _Row:
        """Make a record's row."""
        content = self.content(record, [f"{IMAGES}/{name}" for name in record.images()])
        own: _Row = {name: value for name in ("source", "meta") if (value := getattr(record, name)) is not UNSET}
        if any(turn.answers is not UNSET for turn in record.conversations):
            own["answers"] = [None if turn.answers is UNSET else turn.answers for turn in record.conversations]
        return {"id": record.id, **content, OWN_KEY: own}


def _llava(record: Record, paths: list[str]) -> _Row:
    image = {"image": paths[0] if len(paths) == 1 else paths} if paths else {}
    return {**image, "conversations": _marked(record)}


def _marked(record: Record) -> list[_Row]:
    messages: list[_Row] = []
    for turn in record.conversations:
        if MARK in turn.user or MARK in turn.assistant:
            raise UsageError(
                f"the record {record.id!r} has {MARK} in a text, which this format would take for an image; "
                "give --format openai or trl"
            )
        messages.append({"from": "human", "value": put_marks(turn.user, len(turn.images))})
        messages.append({"from": "gpt", "value": turn.assistant or None, **_weight(turn)})
    return messages


def _in_parts(record: Record, *, with_paths: bool) -> list[_Row]:
    """Make OpenAI's messages, or those of TRL, whose images are listed beside them, and whose answers are in parts."""
    messages: list[_Row] = []
    for turn in record.conversations:
        urls = [{"type": "image_url", "image_url": {"url": f"{IMAGES}/{name}"}} for name in turn.images]
        shown = urls if with_paths else [{"type": "image"}] * len(urls)
        asked = [{"type": "text", "text": turn.user}] if turn.user or not turn.images else []
        answer = turn.assistant if with_paths else [{"type": "text", "text": turn.assistant}]
        messages.append({"role": "user", "content": [*shown, *asked]})
        messages.append({"role": "assistant", "content": answer if turn.assistant else None, **_weight(turn)})
    return messages


def _weight(turn: Turn) -> _Row:
    """Return OpenAI's key for an answer that is not trained on; the readers of the other formats pass it over."""
    return {} if turn.is_supervised else {"weight": 0}


FORMATS = {
    "llava": Format(".json", _llava),
    "sharegpt": Format(".json", lambda record, paths: {"conversations": _marked(record), "images": paths}),
    "openai": Format(".jsonl", lambda record, _: {"messages": _in_parts(record, with_paths=True)}),
    "trl": Format(".jsonl", lambda record, paths: {"messages": _in_parts(record, with_paths=False), "images": paths}),
}
