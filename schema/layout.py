"""Where things lie in a dataset folder, and `dataset.json`, its manifest.

::

    dataset.json                 the manifest
    images/<split>/...           images
    <source>_<split>.jsonl       records, in discovery order
    quarantine.jsonl             what could not be converted
    shards/<source>-<split>-000000.tar
    shards/.offsets/<tar>.index.jsonl  where each sample of a tar lies
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from ..storage import Folder
from ..storage.base import check_name
from ..storage.outage import one_line
from .errors import DatasetError

__all__ = [
    "FORMAT_VERSION",
    "IMAGES",
    "MANIFEST",
    "QUARANTINE",
    "SHARDS",
    "Manifest",
    "SplitRow",
    "encode_manifest",
    "read_manifest",
    "records_name",
    "shard_name",
]

FORMAT_VERSION = 1
MANIFEST = "dataset.json"
IMAGES = "images"
SHARDS = "shards"
QUARANTINE = "quarantine.jsonl"

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
    """

    format_version: int
    source: str
    options: dict[str, Any]
    options_digest: str
    plan_digest: str = ""
    decoders: dict[str, str]
    splits: list[SplitRow]


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
