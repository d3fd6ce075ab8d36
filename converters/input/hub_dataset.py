"""A dataset of the Hugging Face hub as `datasets` sees it: which files make up its splits, and what reads them.

`datasets` is asked once. Its answer and the place of the files in the hub's cache make a *view*, a folder:

    view.json            which builder, its arguments, the files of each split, the names of classes
    files                a link to the snapshot in the hub's cache, where the files have their paths in the dataset

Files of rows are read by `rows`; every other kind (folders of images, WebDataset, text and the like) by `datasets`, as
a stream. No code of the dataset is ever run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from ...schema.errors import HubError, InputError, ItemError
from ...storage import Folder, LocalFolder, user_cache
from ...storage.outage import one_line
from ..rows import Row
from ..rows.image_ref import Steps, bytes_at
from .hub import fetch_files, hub_errors, remembered

FILES = "files"
_VIEW = "view.json"
# Fields of a builder's configuration that are not arguments of its own.
_NOT_ARGUMENTS = {"name", "version", "data_dir", "data_files", "description", "features"}


class HubView(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub's dataset is."""

    repo: str  # owner/name
    commit: str
    module: str  # the builder of `datasets` that reads its files: parquet, json, imagefolder ...
    arguments: dict[str, Any]  # of the builder, where they are not its defaults
    splits: dict[str, list[str]]  # the files of each, by their paths in the dataset
    classes: dict[str, list[str]]  # of each column that holds numbers of classes, their names


def read_view(folder: Folder) -> HubView:
    """Read the view that lies in a folder; InputError where there is none."""
    try:
        return msgspec.json.decode(folder.read(_VIEW), type=HubView)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{folder.address}: the source hub fetches its data itself; leave --input out, and give files of your own "
            "to --source table"
        ) from error


def with_class_names(row: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    """Put the names of classes where a row has their numbers; a number without a name stands for no class."""
    named = dict(row)
    for column, names in classes.items():
        if isinstance(number := row.get(column), int):
            named[column] = names[number] if 0 <= number < len(names) else None
    return named


def make_view(repo: str, subset: str, revision: str, splits: tuple[str, ...]) -> Path:
    """Fetch a dataset's files into the hub's cache, each at most once, and return the folder of its view.

    Without a subset, its default is fetched; without splits, all of them.

    Raises:
        HubError: the hub cannot be reached or refuses, or `datasets` cannot load it.
        InputError: it has no such subset or split.
    """
    answer = remembered((repo, revision, "subset", subset), lambda: _ask(repo, subset, revision), HubView)
    for split in splits:
        if split not in answer.splits:
            raise InputError(f"{repo} has no split {split!r}; there are: {', '.join(answer.splits)}")
    chosen = {split: paths for split, paths in answer.splits.items() if split in (splits or answer.splits)}
    files = list(chain(*chosen.values()))
    snapshot = fetch_files(repo, files, answer.commit)
    classes = answer.classes or (_class_names_in(snapshot / files[0]) if answer.module == "parquet" else {})
    data = msgspec.json.encode(msgspec.structs.replace(answer, splits=chosen, classes=classes))
    view = LocalFolder(user_cache("hub") / hashlib.sha256(data).hexdigest()[:16])
    view.write(_VIEW, data)
    link = view.path / f"{FILES}.{os.getpid()}"
    link.symlink_to(snapshot, target_is_directory=True)
    link.replace(view.path / FILES)
    return view.path


def _ask(repo: str, subset: str, revision: str) -> HubView:
    from huggingface_hub import HfApi

    with hub_errors(f"the dataset {repo}", "fix that and rerun"):
        commit = str(HfApi().dataset_info(repo, revision=revision).sha)
        builder = _builder(repo, subset, commit)
    config, usual = builder.config, type(builder.config)()
    names = sorted({field.name for field in dataclasses.fields(config)} - _NOT_ARGUMENTS)
    given = {name: value for name in names if (value := getattr(config, name)) != getattr(usual, name)}
    return HubView(
        repo=repo,
        commit=commit,
        module=type(builder).__module__.rpartition(".")[2],
        arguments=msgspec.to_builtins(given, enc_hook=str),
        # A file is hf://datasets/<repo>@<commit>/<path>: `datasets` refuses other places.
        splits={
            str(split): [unquote(url.removeprefix(f"hf://datasets/{repo}@").partition("/")[2]) for url in urls]
            for split, urls in config.data_files.items()
        },
        classes=_class_names(builder.info.features),
    )


def _builder(repo: str, subset: str, commit: str) -> Any:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        # With the prefix, no local folder of the same name is taken for it.
        return load_dataset_builder(f"hf://datasets/{repo}", name=subset or None, revision=commit)
    except (DatasetsError, ValueError, RuntimeError, TypeError) as error:
        message = one_line(error)
        if "script" in message:
            message = "it is made by a script, which is never run here; try --revision refs/convert/parquet"
        elif "BuilderConfig" in message or "Config name" in message:
            message += "; give --subset NAME"
        raise HubError(f"{repo}: {message}") from error


def _class_names(features: Any) -> dict[str, list[str]]:
    """Return the names of classes by column, of the columns that hold their numbers."""
    from datasets import ClassLabel

    return {name: kind.names for name, kind in (features or {}).items() if isinstance(kind, ClassLabel)}


def _class_names_in(file: Path) -> dict[str, list[str]]:
    """Find the names of classes in a Parquet file, where `datasets` wrote them down."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    try:
        return _class_names(Features.from_arrow_schema(pq.read_schema(file)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return {}  # a damaged file is named when its rows are read


class HubStream:
    """One split of the view that lies in a folder, row by row, bytes and all; going back starts it again."""

    def __init__(self, view: HubView, folder: Path, split: str) -> None:
        self._view, self._folder, self._split = view, folder, split
        self._examples: Iterator[dict[str, Any]] = iter(())
        self._number = -1
        self._example: dict[str, Any] | None = None
        self._classes: dict[str, list[str]] = {}

    def rows(self) -> Iterator[Row]:
        """Yield every row; the bytes of an image are `{"path": str | None, "bytes": true}`.

        Raises:
            InputError: `datasets` cannot read on.
        """
        for number, example in enumerate(self._open()):
            values = with_class_names({name: _plain(value) for name, value in example.items()}, self._classes)
            yield Row(f"{self._split}, row {number + 1}", number, values, file=self._split)

    def read(self, number: int, column: str, steps: Steps) -> bytes:
        """Return the bytes of an image in a row, counted from 0; for the steps and errors, see `bytes_at`."""
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

        view, split = self._view, self._split
        paths = [str(self._folder / FILES / path) for path in view.splits[split]]
        try:
            stream = load_dataset(view.module, data_files={split: paths}, split=split, streaming=True, **view.arguments)
            self._classes = _class_names(stream.features)
            # What is of no known kind is not decoded anyway.
            yield from stream.decode(False) if stream.features else stream
        except (DatasetsError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{view.repo}: `datasets` cannot read the split {split}: {one_line(error)}") from error


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
