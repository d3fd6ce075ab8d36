"""A dataset of the Hugging Face hub as `datasets` sees it: which files make up its splits, and what reads them.

`datasets` is asked once. Its answer and the place of the files in the hub's cache make a *view*, a folder:

    view.json            which builder, its arguments, the files of each split, the names of classes
    files                a link to the snapshot in the hub's cache, where the files have their paths in the dataset

No code of the dataset is ever run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from ...schema.errors import HubError, InputError
from ...storage import Folder, LocalFolder, user_cache
from .hub import fetch_files, hub_errors, remembered

__all__ = ["FILES", "HubView", "class_names", "make_view", "read_view", "with_class_names"]

FILES = "files"
_VIEW = "view.json"


class HubView(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub's dataset is.

    Args:
        repo: the dataset.
        commit: the revision that was found.
        module: the builder of `datasets` that reads its files: parquet, json, imagefolder ...
        arguments: of the builder, where they are not its defaults.
        splits: the files of each split, by their paths in the dataset.
        classes: of each column that holds numbers of classes, their names.
    """

    repo: str
    commit: str
    module: str
    arguments: dict[str, Any]
    splits: dict[str, list[str]]
    classes: dict[str, list[str]]


def read_view(folder: Folder) -> HubView:
    """Read the view that lies in a folder.

    Raises:
        InputError: there is none.
    """
    try:
        return msgspec.json.decode(folder.read(_VIEW), type=HubView)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{folder.address}: the source hub fetches its data itself; leave --input out, and give files of your own "
            "to --source table"
        ) from error


def class_names(features: Any) -> dict[str, list[str]]:
    """Return the names of classes by column, of the columns that hold their numbers."""
    from datasets import ClassLabel

    return {name: kind.names for name, kind in (features or {}).items() if isinstance(kind, ClassLabel)}


def with_class_names(row: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    """Put the names of classes where a row has their numbers; a number without a name stands for no class."""
    named = dict(row)
    for column, names in classes.items():
        if isinstance(number := row.get(column), int):
            named[column] = names[number] if 0 <= number < len(names) else None
    return named


def make_view(repo: str, subset: str, revision: str, splits: tuple[str, ...]) -> Path:
    """Fetch a dataset's files into the hub's cache, each at most once, and return the folder of its view.

    Args:
        repo: the hub dataset, `owner/name`.
        subset: one of its configurations, "" for its default.
        revision: a branch, tag or commit.
        splits: the ones to fetch, all where empty.

    Raises:
        HubError: the hub cannot be reached or refuses, or `datasets` cannot load it.
        InputError: it has no such subset or split.
    """
    answer = remembered((repo, revision, "subset", subset), lambda: _ask(repo, subset, revision), HubView)
    for split in splits:
        if split not in answer.splits:
            raise InputError(f"{repo} has no split {split!r}; there are: {', '.join(answer.splits)}")
    chosen = {split: paths for split, paths in answer.splits.items() if split in (splits or answer.splits)}
    found = msgspec.structs.replace(answer, splits=chosen)
    snapshot = fetch_files(repo, list(chain(*found.splits.values())), found.commit)
    found = msgspec.structs.replace(found, classes=found.classes or _classes_in(snapshot, found))
    data = msgspec.json.encode(found)
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
    return HubView(
        repo=repo,
        commit=commit,
        module=type(builder).__module__.rpartition(".")[2],
        arguments=_arguments(builder.config),
        splits={str(split): [_path_in(url, repo) for url in urls] for split, urls in builder.config.data_files.items()},
        classes=class_names(builder.info.features),
    )


def _builder(repo: str, subset: str, commit: str) -> Any:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        # With the prefix, no local folder of the same name is taken for it.
        return load_dataset_builder(f"hf://datasets/{repo}", name=subset or None, revision=commit)
    except (DatasetsError, ValueError, RuntimeError, TypeError) as error:
        message = " ".join(str(error).split())
        if "script" in message:
            message = "it is made by a script, which is never run here; try --revision refs/convert/parquet"
        elif "BuilderConfig" in message or "Config name" in message:
            message += "; give --subset NAME"
        raise HubError(f"{repo}: {message}") from error


def _path_in(url: str, repo: str) -> str:
    """Return the path in the dataset of `hf://datasets/<repo>@<commit>/<path>`; `datasets` refuses other places."""
    return unquote(url.removeprefix(f"hf://datasets/{repo}@").partition("/")[2])


def _arguments(config: Any) -> dict[str, Any]:
    standing = {"name", "version", "data_dir", "data_files", "description", "features"}
    plain = type(config)()
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        name: msgspec.to_builtins(value, enc_hook=str)
        for name, value in given.items()
        if name not in standing and value != getattr(plain, name)
    }


def _classes_in(snapshot: Path, view: HubView) -> dict[str, list[str]]:
    """Find the names of classes in a Parquet file, where `datasets` wrote them down."""
    if view.module != "parquet":
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    first = next(path for paths in view.splits.values() for path in paths)
    try:
        return class_names(Features.from_arrow_schema(pq.read_schema(snapshot / first)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return {}  # a damaged file is named when its rows are read
