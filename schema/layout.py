"""Where things lie in a dataset folder, and `dataset.json`, its manifest.

::

    dataset.json                 the manifest
    images/<split>/...           images
    <source>_<split>.jsonl       records, in discovery order
    quarantine.jsonl             what could not be converted, or was not fit to be kept
    left_out.jsonl               what `select` did not take over, each with the reason
    shards/<source>-<split>-000000.tar
    shards/.offsets/<tar>.index.jsonl  where each sample of a tar lies
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..storage import Folder
from ..storage.folder import check_name
from ..storage.outage import one_line
from .errors import DatasetError

FORMAT_VERSION = 1
MANIFEST = "dataset.json"
IMAGES = "images"
SHARDS = "shards"
QUARANTINE = "quarantine.jsonl"
LEFT_OUT = "left_out.jsonl"
BEFORE_FIX = ".before-fix"
"""In the name of a folder that a fixed dataset took the place of: who looks for datasets passes over it."""

# Bytes; one of a hundred thousand shards takes 5 MiB.
_LARGEST_MANIFEST = 64 << 20
_FileName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]


def records_name(source: str, split: str) -> str:
    """Name the JSONL file of one split."""
    return f"{source}_{split}.jsonl"


def shard_name(source: str, split: str, number: int) -> str:
    """Name one WebDataset tar of a split, counted from 0."""
    return f"{SHARDS}/{source}-{split}-{number:06d}.tar"


class SplitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One split in the manifest.

    The conservation law holds in every row: discovered = written + quarantined + skipped.

    Args:
        split: its name.
        file: its JSONL, relative to the dataset folder.
        sha256: of that file, in hex.
        records: lines in it.
        images: images its records show; one that several show counts for each.
        discovered: raw samples found.
        written: records made of them.
        quarantined: samples that failed, listed in quarantine.jsonl.
        skipped: samples left out on request (--splits, --limit).
        shards: its WebDataset tars, relative to the dataset folder.
    """

    split: str
    file: _FileName
    sha256: str
    records: int
    images: int
    discovered: int
    written: int
    quarantined: int
    skipped: int
    shards: list[_FileName] = msgspec.field(default_factory=list)


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One line of quarantine.jsonl: what is missing, and why.

    Args:
        id: of the item, or of the record; empty where it has none.
        split: it is of.
        path: where its raw data is, or the file and line of the record.
        stage: at which it failed; `validate` where a rule found it.
        exception: the exception's class, or the rule's code.
        message: one line.
    """

    id: str
    split: str
    path: str
    stage: str
    exception: str
    message: str


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """One line of left_out.jsonl.

    Args:
        id: of the record; empty where the line is not one.
        dataset: the name of the dataset it is of.
        path: the file and the line, relative to that dataset.
        reason: the option that left it out.
    """

    id: str
    dataset: str
    path: str
    reason: str


class ReadData(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a step read.

    Args:
        name: it was called by.
        source: the converter's name.
        digest: SHA-256 over its records, in hex (`Dataset.digest`).
        records: how many were read.
    """

    name: str
    source: str
    digest: str
    records: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command in the history of a dataset.

    The conservation law holds in every step: read = selected + quarantined + left out.

    Args:
        command: its name.
        options: that shaped its output.
        inputs: the datasets it read; of `convert` none.
        read: records read; of `convert` items discovered.
        selected: records written.
        quarantined: records or items listed in quarantine.jsonl by it.
        left_out: how many each reason left out.
        repaired: how many records or images each rule's repair changed.
    """

    command: str
    options: dict[str, Any]
    inputs: list[ReadData]
    read: int
    selected: int
    quarantined: int
    left_out: dict[str, int]
    repaired: dict[str, int] = msgspec.field(default_factory=dict)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`dataset.json`: what made this dataset, and what is in it.

    Args:
        format_version: of this layout; a newer one is refused.
        source: the converter's name.
        options: every option that shapes the output.
        options_digest: SHA-256 of the options, in hex.
        plan_digest: SHA-256 of the list of raw samples, in hex; tells whether the input is still the same.
        decoders: version of each library that shapes the images.
        splits: a row a split, in discovery order.
        history: the commands that made it, the first one first; left out where `convert` alone did.
    """

    format_version: int
    source: str
    options: dict[str, Any]
    options_digest: str
    plan_digest: str = ""
    decoders: dict[str, str]
    splits: list[SplitRow]
    history: list[Step] | UnsetType = UNSET

    def steps(self) -> list[Step]:
        """Return the commands that made the dataset, the conversion among them."""
        if self.history is not UNSET:
            return self.history
        skipped = sum(row.skipped for row in self.splits)
        return [
            Step(
                command="convert",
                options={"source": self.source, **self.options},
                inputs=[],
                read=sum(row.discovered for row in self.splits),
                selected=sum(row.written for row in self.splits),
                quarantined=sum(row.quarantined for row in self.splits),
                left_out={"--splits, --limit": skipped} if skipped else {},
            )
        ]


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of `dataset.json`, indented for people."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read_manifest(folder: Folder) -> Manifest:
    """Read `dataset.json`.

    Raises:
        DatasetError: there is none, it is damaged, or its format is newer than this program.
    """
    where = f"{folder.address}/{MANIFEST}"
    try:
        with folder.open(MANIFEST) as stream:
            data = stream.read(_LARGEST_MANIFEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{folder.address}: not a dataset folder (it holds no {MANIFEST})") from None
    except OSError as error:
        raise DatasetError(f"{where}: cannot be read ({one_line(error)})") from error
    if len(data) > _LARGEST_MANIFEST:
        raise DatasetError(f"{where}: larger than {_LARGEST_MANIFEST >> 20} MiB; a manifest is not")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        for row in manifest.splits:
            for name in (row.file, *row.shards):
                check_name(name)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{where}: damaged ({one_line(error)[:300]}); convert the data again") from error
    except OSError as error:
        raise DatasetError(f"{where}: {one_line(error)[:300]}; do not use this dataset") from error
    if manifest.format_version > FORMAT_VERSION:
        raise DatasetError(
            f"{where}: format {manifest.format_version}, but only {FORMAT_VERSION} is known here; upgrade phi3v-data"
        )
    return manifest
