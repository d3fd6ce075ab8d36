"""One conversion from start to end: input, plan, workers, journal, assembly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import msgspec

from ...schema import errors
from ...schema.errors import ConversionStopped, UsageError
from ...schema.jsonl import read_lines
from ...schema.layout import IMAGES, QUARANTINE, Manifest, Quarantined, read_manifest
from ...schema.wording import counted
from ...storage import Folder, LocalFolder, RemoteFolder, is_remote, open_folder
from ..base import Converter
from ..images import ImageSettings
from ..input.resolve import resolve_input
from ..registry import ConverterSpec
from ..splits import parse_ratios
from .assemble import assemble
from .driver import Driver, OnError, Progress
from .failures import source_errors, stop_on_outage
from .local import LocalExecutor
from .messages import PLANNED, Job
from .pack import Packing
from .plan import Selection, make_plan
from .pool import WorkerPool
from .remote_state import RemoteState
from .resume import check_ours, reopen_changed, resume
from .settings import RunHeader, settings_of
from .state import STAGING, LocalState, State

__all__ = ["ITEM_TIMEOUT", "ConvertRequest", "Summary", "convert"]

ITEM_TIMEOUT = 600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """What is to be converted, and how.

    Args:
        source: a source's name, or `path/to/file.py:Class`.
        out: the dataset folder, a local path or an fsspec address.
        input: the raw data, a folder or an archive, local or an fsspec address; None for the source's public copy.
        options: the source's options by name, as plain values.
        images: how images are stored.
        escape_tokens: write special tokens of the tokenizer in texts as plain text; else they quarantine their item.
        shard_size: write WebDataset shards of at most so many bytes; None for no shards.
        image_files: keep the images as files, too; without, they are in the shards alone.
        selection: the splits and the number of items asked for.
        engine: local processes, or a Ray cluster.
        workers: processes; None for one a core.
        item_timeout: seconds after which a worker is ended over its item, which is quarantined.
        follow_links: whether links in the input folder may lead out of it.
        on_error: quarantine an item that fails, or stop at the first.
        restart: throw away what is in `out` (it must be a dataset, finished or not).
        retry_quarantined: try the quarantined items of an earlier run again.
    """

    source: str
    out: str
    input: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    images: ImageSettings = field(default_factory=ImageSettings)
    escape_tokens: bool = False
    shard_size: int | None = None
    image_files: bool = True
    selection: Selection = field(default_factory=Selection)
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    item_timeout: float = ITEM_TIMEOUT
    follow_links: bool = True
    on_error: OnError = "quarantine"
    restart: bool = False
    retry_quarantined: bool = False

    def __post_init__(self) -> None:
        if not self.image_files and self.shard_size is None:
            raise UsageError("--no-images without --shards would keep no images at all; give --shards too")

    def engine_options(self) -> dict[str, Any]:
        """Collect the engine's own options that shape the output."""
        splits = self.selection.splits
        return {
            **msgspec.to_builtins(self.images),
            "escape_tokens": self.escape_tokens,
            "shard_size": self.shard_size,
            "image_files": self.image_files,
            "splits": sorted(splits) if splits is not None else None,
            "limit": self.selection.limit,
        }


@dataclass(frozen=True)
class Summary:
    """What came of a conversion.

    Args:
        out: the dataset folder.
        manifest: what is in it.
        already_complete: nothing was left to do.
        empty_splits: splits without a record that were asked for, each with why and what to do.
    """

    out: str
    manifest: Manifest
    already_complete: bool = False
    empty_splits: tuple[str, ...] = ()


@stop_on_outage()
def convert(request: ConvertRequest, progress: Progress | None = None) -> Summary:
    """Convert a source into a dataset folder; resume where an earlier run of the same kind stopped.

    Raises:
        UsageError: the options cannot work, or differ from those that made what is in `out`; or `out` is in `input`.
        InputError: the raw data is not what the source expects.
        OutputError: `out` cannot be written, holds something else, or another run is at work there.
        ConversionStopped: the machine failed, or too many items did; what was done is kept.
    """
    out = open_folder(request.out)
    check_ours(out)
    _check_apart(request.input, out)
    # The options are checked before anything is fetched or unpacked.
    with source_errors(request.source, "was built"):
        unbound = ConverterSpec(source=request.source, input=os.curdir, options=request.options).build()
    settings = settings_of(unbound, request.engine_options())
    shown = progress or Progress()
    with _open_state(out) as state, TemporaryFile(prefix="phi3v-data-plan-") as spooled:
        spec = _resolved(request, unbound, state)
        plan = make_plan(spec.build(), request.selection, spooled, shown.show)
        header = RunHeader(settings=settings, input=_identity(request, spec, state), plan=plan.digest)
        images = IMAGES if request.image_files else STAGING
        retry = request.retry_quarantined
        if not resume(state, plan, header, images, shown.log, restart=request.restart, retry=retry):
            state.sweep()
            return Summary(request.out, read_manifest(out), already_complete=True)
        journal = state.open_journal(len(plan), header)
        if retry:
            journal.reopen_failed()
        reopen_changed(out, images, journal)
        job = Job(
            spec=spec,
            out=_absolute(request.out),
            folder=images,
            images=request.images,
            escape_tokens=request.escape_tokens,
        )
        Driver(plan, journal, request.on_error, shown).run(lambda items: _executor(request, job, items, shown))
        state.check_kept()
        packing = Packing(request.shard_size, images) if request.shard_size is not None else None
        manifest = assemble(out, images, plan, journal, settings, packing, shown.show)
        state.finish()
    _check_not_empty(request.out, out, manifest)
    return Summary(request.out, manifest, empty_splits=tuple(_empty_splits(unbound, request.selection, manifest)))


def _open_state(out: Folder) -> State:
    return RemoteState(out) if isinstance(out, RemoteFolder) else LocalState(LocalFolder(out.address))


def _resolved(request: ConvertRequest, unbound: Converter, state: State) -> ConverterSpec:
    with source_errors(unbound.name, "fetched its input"):
        address = resolve_input(unbound, request.input, state.work, follow_links=request.follow_links)
    file, colon, name = request.source.rpartition(":")
    source = f"{Path(file).absolute()}:{name}" if colon else request.source
    return ConverterSpec(source=source, input=address, options=request.options)


def _executor(request: ConvertRequest, job: Job, items: int, progress: Progress) -> WorkerPool:
    if request.engine == "ray":
        from .cluster import RayExecutor

        return RayExecutor(job, items, request.workers, request.item_timeout, progress.log)
    return LocalExecutor(job, min(items, request.workers or _cores()), request.item_timeout, progress.log)


def _identity(request: ConvertRequest, spec: ConverterSpec, state: State) -> str:
    """Name the input so that another one is told apart, also when an archive was replaced by another."""
    if request.input is None:
        return "the public copy"
    given = _absolute(request.input)
    unpacked = Path(spec.input)
    return f"{given} ({unpacked.name})" if unpacked.parent == state.work else given


def _absolute(address: str) -> str:
    # Workers may run in another folder.
    return address if is_remote(address) else str(Path(address.removeprefix("file://")).absolute())


def _check_apart(given: str | None, out: Folder) -> None:
    """Make sure that the dataset does not lie in the raw data, where the next run would find it."""
    if given is None or is_remote(given) != is_remote(out.address):
        return
    inside, around = (_place(address) for address in (out.address, given))
    if inside != around and inside.startswith(f"{around}/"):
        raise UsageError(
            f"{out.address}: lies in the input {given}, and would be raw data itself; choose another --out"
        )


def _place(address: str) -> str:
    return (address if is_remote(address) else Path(_absolute(address)).resolve().as_posix()).rstrip("/")


def _check_not_empty(address: str, out: Folder, manifest: Manifest) -> None:
    quarantined = sum(row.quarantined for row in manifest.splits)
    if not quarantined or any(row.written for row in manifest.splits):
        return
    line = next(read_lines(out, QUARANTINE))
    first = msgspec.json.decode(line.data, type=Quarantined)
    # Of an error that is not this package's own, the type says as much as the text.
    kind = "" if first.stage in PLANNED or hasattr(errors, first.exception) else f"{first.exception}: "
    raise ConversionStopped(
        f"{address}: nothing could be converted ({counted(quarantined, 'item')} in {QUARANTINE} there); the first, "
        f"{first.path}: {kind}{first.message}; fix the raw data or the options and rerun"
    )


def _empty_splits(converter: Converter, selection: Selection, manifest: Manifest) -> Iterator[str]:
    """Describe each split that was asked for and holds no record: no item fell into it, or all were quarantined."""
    found = {row.split: row for row in manifest.splits}
    ratio = getattr(converter, "split_ratio", "")
    shares = [name for name, _ in parse_ratios(ratio).shares] if ratio else []
    total = sum(row.discovered for row in manifest.splits)
    for split in shares:
        if split not in found and (selection.splits is None or split in selection.splits):
            yield (
                f"split {split} is empty: none of {counted(total, 'item')} fell into it; give it a larger share with "
                f"--split-ratio{', or --stratify' if hasattr(converter, 'stratify') else ''}, or add samples"
            )
    for row in manifest.splits:
        if row.quarantined and not row.written:
            yield f"split {row.split} is empty: {counted(row.quarantined, 'item')} quarantined, none converted"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
