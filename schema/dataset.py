"""A dataset as the commands take it: a folder with a manifest, the recipe's bare folder, one JSONL file, or shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from ..storage import Folder, is_remote, open_folder
from ..storage.outage import one_line, outage
from .errors import DatasetError
from .images import ImageFiles, Images, ShardedImages
from .jsonl import JSONL_SUFFIXES, read_records
from .layout import BEFORE_FIX, MANIFEST, QUARANTINE, Manifest, read_manifest
from .record import Record, decode_record
from .shard_index import index_names
from .shards import Shard
from .splits import file_stem, split_of_file

# Where `convert` writes and the other commands look when nothing is said.
DEFAULT_ROOT = "data"


@dataclass(frozen=True)
class Dataset:
    """Records beside their images.

    Args:
        folder: the dataset folder.
        files: the JSONL file of each split, relative to the folder; empty where DATA names shards.
        manifest: its dataset.json; None for what was not made by `convert`, or is not the whole of it.
        shards: the tars of each split, where its images are in tars alone.
        is_one_file: whether DATA names a JSONL file, or the shards of one split: its only split, whatever its name.
    """

    folder: Folder
    files: dict[str, str]
    manifest: Manifest | None
    shards: dict[str, list[str]] = field(default_factory=dict)
    is_one_file: bool = False

    @property
    def splits(self) -> list[str]:
        """The names of its splits."""
        return list(self.files or self.shards)

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of one split, in order.

        Raises:
            RecordError: a line is no record.
            DatasetError: a tar or its index is missing or damaged.
        """
        if split in self.files:
            yield from read_records(self.folder, self.files[split])
            return
        for name in self.shards[split]:
            with Shard(self.folder, name) as shard:
                yield from (decode_record(sample.record) for sample in shard)

    @cached_property
    def images(self) -> Images:
        """The images that the records show.

        Raises:
            DatasetError: they are in shards alone, and a tar or its index is missing or damaged.
        """
        if not self.shards:
            return ImageFiles(self.folder)
        return ShardedImages(self.folder, [name for names in self.shards.values() for name in names])

    def digest(self) -> str:
        """Return the SHA-256, in hex, over the names and bytes of every split's records, or of its shards' indexes."""
        files = self.files.items() or [
            (split, name) for split, tars in self.shards.items() for name in index_names(self.folder, tars)
        ]
        digest = hashlib.sha256()
        for split, name in sorted(files):
            digest.update(f"{split} {self.folder.sha256(name)}\n".encode())
        return digest.hexdigest()


def open_dataset(address: str) -> Dataset:
    """Open what DATA names on the command line.

    Args:
        address: a dataset folder, one JSONL file with `images/` beside it, or a pattern of shards (`...-train-*.tar`);
            local or fsspec.

    Raises:
        DatasetError: it is none of them.
    """
    try:
        return _open(address)
    except OSError as error:
        if (reason := outage(error)) is not None:
            raise DatasetError(f"{address}: cannot be read: {reason}; fix that and rerun") from error
        expected = "expected a dataset folder, a .jsonl file or .tar files"
        raise DatasetError(f"{address}: cannot be read ({one_line(error)}); {expected}") from error


def _open(address: str) -> Dataset:
    if address.endswith(".tar"):
        return _open_shards(address)
    if address.endswith(JSONL_SUFFIXES):
        parent, _, name = address.rpartition("/")
        folder = open_folder(parent or ".")
        if not folder.exists(name):
            raise DatasetError(f"{address}: no such file")
        return Dataset(folder, {_split_of(name): name}, None, is_one_file=True)
    if address.endswith(".json"):
        raise DatasetError(
            f"{address}: not a dataset, whose records are JSON lines; convert it: "
            f"phi3v-data convert --source chat --input {address}"
        )
    folder = open_folder(address)
    if not folder.exists(""):
        raise DatasetError(f"{address}: no such dataset folder; make one with: phi3v-data convert --out {address}")
    if folder.exists(MANIFEST):
        manifest = read_manifest(folder)
        in_tars = not manifest.options.get("image_files", True)
        shards = {row.split: row.shards for row in manifest.splits} if in_tars else {}
        return Dataset(folder, {row.split: row.file for row in manifest.splits}, manifest, shards)
    files_here = [e.name for e in folder.list() if not e.is_folder and e.name != QUARANTINE]
    names = [name for name in files_here if name.endswith(JSONL_SUFFIXES)]
    if not names:
        raise DatasetError(f"{address}: not a dataset folder (it holds neither {MANIFEST} nor a .jsonl file)")
    files: dict[str, str] = {}
    for name in names:
        first = files.setdefault(_split_of(name), name)
        if first != name:
            raise DatasetError(
                f"{address}: {first} and {name} are both of the split {_split_of(name)}; name one of them"
            )
    return Dataset(folder, files, None)


def _open_shards(address: str) -> Dataset:
    parent, _, pattern = address.rpartition("/")
    folder = open_folder(parent or ".")
    listed = folder.list() if folder.exists("") else []
    # The pattern's own name first: a tar may be called anything.
    names = [e.name for e in listed if not e.is_folder and (e.name == pattern or fnmatchcase(e.name, pattern))]
    if not names:
        raise DatasetError(f"{address}: no such shards; write them with: phi3v-data convert --shards")
    shards: dict[str, list[str]] = {}
    for name in names:
        shards.setdefault(_split_of_shard(name), []).append(name)
    return Dataset(folder, {}, None, shards, is_one_file=len(shards) == 1)


def datasets_under(root: str = DEFAULT_ROOT) -> list[str]:
    """Return the address of every dataset folder directly under `root`.

    Raises:
        DatasetError: there is none.
    """
    here = [] if is_remote(root) or not Path(root).is_dir() else sorted(Path(root).glob(f"*/{MANIFEST}"))
    found = [path for path in here if BEFORE_FIX not in path.parent.name]
    if not found:
        hint = "name one, or make one with: phi3v-data convert --source ucf101 --frames 8"
        raise DatasetError(f"no dataset under {root}/; {hint}")
    return [str(path.parent) for path in found]


def the_dataset(address: str | None) -> Dataset:
    """Open DATA, or the one dataset under data/ where DATA is left out.

    Raises:
        DatasetError: nothing was named and there is none, or more than one.
    """
    if address is not None:
        return open_dataset(address)
    found = datasets_under()
    if len(found) > 1:
        raise DatasetError(f"{len(found)} datasets under {DEFAULT_ROOT}/ ({', '.join(found)}); name the one you mean")
    return open_dataset(found[0])


def _split_of(name: str) -> str:
    """Name the split of a JSONL file; without a known one in its name, it is what follows the last underscore."""
    name = name.removesuffix(".gz").removesuffix(".zst")
    return split_of_file(name, default=file_stem(name).rpartition("_")[2])


def _split_of_shard(name: str) -> str:
    """Name the split of a tar; without a known one in its name, it is what follows the last hyphen."""
    return split_of_file(name, default=file_stem(name).rpartition("-")[2])
