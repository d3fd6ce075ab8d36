"""The one way to write a dataset from records of others: each goes to a split, to quarantine, or is left out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from ...storage import Folder, LocalFolder
from ...storage.outage import one_line, outage
from ..errors import OutputError, RunError
from ..layout import (
    FORMAT_VERSION,
    IMAGES,
    LEFT_OUT,
    MANIFEST,
    QUARANTINE,
    LeftOut,
    Manifest,
    Quarantined,
    ReadData,
    SplitRow,
    Step,
    encode_manifest,
)
from ..shards import Sample, ShardWriter
from ..wording import counted
from .joining import Input
from .output_images import ImageMode, OutputImage, opened, read_image

_SHARD_SIZE = 1 << 30
# Copies between object stores wait for the network, not for a core; so many are under way at a time.
_COPIES = 16


@dataclass(frozen=True)
class Form:
    """How a dataset lies on disk.

    Args:
        files: images are files under `images/`.
        shards: records and images are in shards.
        shard_size: bytes that a shard does not exceed unless one sample alone does.
    """

    files: bool
    shards: bool
    shard_size: int = _SHARD_SIZE

    @staticmethod
    def of(inputs: Sequence[Input]) -> Form:
        """Return the form of what comes from datasets: files where one has them, shards where one has those."""
        manifests = [each.dataset.manifest for each in inputs]
        sizes = [each.options.get("shard_size") for each in manifests if each is not None]
        rows = [row for each in manifests if each is not None for row in each.splits]
        shards = any(each.dataset.shards for each in inputs) or any(row.shards for row in rows)
        size = next((size for size in sizes if isinstance(size, int) and size > 0), _SHARD_SIZE)
        return Form(any(not each.dataset.shards for each in inputs), shards, size)


@dataclass
class _SplitFile:
    name: str
    stream: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)
    records: int = 0
    images: int = 0
    quarantined: int = 0
    skipped: int = 0


class DatasetWriter:
    """Writes a dataset folder. A context manager; the manifest, written by `finish`, comes last.

    Args:
        out: the dataset folder, empty.
        source: the dataset's.
        files: the JSONL of each split, in their order.
        form: how it is to lie on disk.
        columns: every column that an image has, see `sample_columns`.
        images: linked or copied.
    """

    def __init__(
        self,
        out: Folder,
        source: str,
        files: Mapping[str, str],
        form: Form,
        columns: Iterable[str],
        images: ImageMode = "copy",
    ) -> None:
        self._out, self._source, self._form, self._images = out, source, form, images
        self._names = dict(files)
        self._columns = sorted(set(columns)) if form.shards else []
        self._open = contextlib.ExitStack()
        self._splits: dict[str, _SplitFile] = {}
        self._shards: dict[str, ShardWriter] = {}
        self._streams: dict[str, IO[bytes]] = {}
        self._stored: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._copies: deque[Future[None]] = deque()
        self.left_out: Counter[str] = Counter()
        """How many records each reason left out."""
        self._quarantined = 0

    def __enter__(self) -> DatasetWriter:
        with self._writing(), contextlib.ExitStack() as stack:
            for split, name in self._names.items():
                self._splits[split] = _SplitFile(name, stack.enter_context(self._out.create(name)))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        # What is open is written only where nothing was raised.
        self._open.__exit__(*error)

    def add(self, split: str, record: bytes, images: Sequence[OutputImage]) -> None:
        """Write a record, and the images it shows, in its order; an image of a name that was written is not again.

        Raises:
            DatasetError: an image cannot be read.
            OutputError: the folder cannot be written, or an image cannot be linked.
        """
        file = self._splits[split]
        line = record + b"\n"
        with self._writing():
            file.stream.write(line)
        file.digest.update(line)
        file.records += 1
        file.images += len(images)
        if self._form.files:
            for image in images:
                if image.name not in self._stored:
                    self._stored.add(image.name)
                    self._store(image)
        if self._form.shards:
            self._shard(split).add(Sample(record, [read_image(image) for image in images]))

    def leave_out(self, split: str, left: LeftOut) -> None:
        """Note a record that is not taken over."""
        self.left_out[left.reason] += 1
        if split in self._splits:
            self._splits[split].skipped += 1
        self._note(LEFT_OUT, msgspec.json.encode(left))

    def quarantine(self, quarantined: Quarantined) -> None:
        """Note a record that is not fit to be kept; of a split that is written."""
        self._quarantined += 1
        self._splits[quarantined.split].quarantined += 1
        self._note(QUARANTINE, msgspec.json.encode(quarantined))

    def carry(self, rows: Iterable[SplitRow], quarantine: Iterable[bytes]) -> None:
        """Take over what an earlier manifest counts as skipped, and what was in quarantine.

        Args:
            rows: of that manifest.
            quarantine: the lines of its quarantine.jsonl.
        """
        for row in rows:
            self._row_for(row.split).skipped += row.skipped
        for line in quarantine:
            try:
                split = msgspec.json.decode(line, type=_OfSplit).split
            except (msgspec.DecodeError, UnicodeDecodeError):
                split = ""
            self._row_for(split).quarantined += 1
            self._note(QUARANTINE, line)

    def finish(
        self,
        command: str,
        options: dict[str, Any],
        inputs: Sequence[ReadData],
        inputs_manifests: Sequence[Manifest | None],
        repaired: Mapping[str, int] | None = None,
    ) -> Manifest:
        """Write the manifest.

        Args:
            command: that makes the dataset.
            options: those that shape it.
            inputs: the datasets that were read, with the number of their records.
            inputs_manifests: theirs.
            repaired: how many records or images each rule's repair changed.

        Raises:
            RunError: the conservation law does not hold; nothing is declared finished.
        """
        self.wait()
        with self._writing():
            self._open.close()
        step = Step(
            command=command,
            options=options,
            inputs=list(inputs),
            read=sum(each.records for each in inputs),
            selected=sum(file.records for file in self._splits.values()),
            quarantined=self._quarantined,
            left_out=dict(sorted(self.left_out.items())),
            repaired=dict(sorted((repaired or {}).items())),
        )
        _check_conservation(step)
        in_form = {"image_files": self._form.files, "shard_size": self._form.shard_size if self._form.shards else None}
        shaping = {"command": command, **options, **in_form}
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            source=self._source,
            options=shaping,
            options_digest=hashlib.sha256(msgspec.json.encode(shaping, order="sorted")).hexdigest(),
            decoders={name: each.decoders[name] for each in inputs_manifests if each for name in each.decoders},
            splits=[self._row(split, file) for split, file in self._splits.items()],
            history=[*(past for each in inputs_manifests if each for past in each.steps()), step],
        )
        with self._writing():
            self._out.write(MANIFEST, encode_manifest(manifest))
        return manifest

    def _row(self, split: str, file: _SplitFile) -> SplitRow:
        return SplitRow(
            split=split,
            file=file.name,
            sha256=file.digest.hexdigest(),
            records=file.records,
            images=file.images,
            discovered=file.records + file.quarantined + file.skipped,
            written=file.records,
            quarantined=file.quarantined,
            skipped=file.skipped,
            shards=self._shards[split].names if split in self._shards else [],
        )

    def _row_for(self, split: str) -> _SplitFile:
        return self._splits.get(split) or next(iter(self._splits.values()))

    def _note(self, name: str, line: bytes) -> None:
        with self._writing():
            if name not in self._streams:
                self._streams[name] = self._open.enter_context(self._out.create(name))
            self._streams[name].write(line + b"\n")

    def _shard(self, split: str) -> ShardWriter:
        if split not in self._shards:
            size = self._form.shard_size
            writer = ShardWriter(self._out, self._source, split, size=size, columns=self._columns)
            self._shards[split] = self._open.enter_context(writer)
        return self._shards[split]

    def _store(self, image: OutputImage) -> None:
        if image.path is not None and self._images != "copy" and self._linked(image.path, image.name):
            return
        if isinstance(self._out, LocalFolder) and image.path is not None:
            self._copy(image)
            return
        if self._pool is None:
            self._pool = self._open.enter_context(ThreadPoolExecutor(_COPIES))
        self._copies.append(self._pool.submit(self._copy, image))
        self.wait(2 * _COPIES)

    def _linked(self, path: str, name: str) -> bool:
        """Give a file a second name in the dataset; False where it had better be copied."""
        if not isinstance(self._out, LocalFolder):
            return False
        target = self._out.path / IMAGES / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(Path(path).resolve(strict=True), target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if self._images == "link":
                raise OutputError(f"{path}: cannot be linked ({error.strerror}); give --images copy") from error
            return False
        return True

    def _copy(self, image: OutputImage) -> None:
        with opened(image) as stream, self._writing(), self._out.create(f"{IMAGES}/{image.name}") as target:
            shutil.copyfileobj(stream, target)

    def wait(self, most: int = 0) -> None:
        """Wait until at most so many copies of images are under way."""
        while len(self._copies) > most:
            self._copies.popleft().result()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = outage(error)
            if why is not None:
                raise RunError(f"{self._out.address}: cannot be written ({why}); nothing was kept") from error
            raise OutputError(f"{self._out.address}: cannot be written ({one_line(error)})") from error


class _OfSplit(msgspec.Struct):
    split: str = ""


def _check_conservation(step: Step) -> None:
    left_out = sum(step.left_out.values())
    if step.read != step.selected + step.quarantined + left_out:
        raise RunError(
            f"{counted(step.read, 'record')} read, but {step.selected} selected + {step.quarantined} quarantined + "
            f"{left_out} left out; the data changed meanwhile, or this is a bug in phi3v-data; nothing was kept"
        )
