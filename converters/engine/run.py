"""One conversion from start to end: input, plan, workers, journal, assembly."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import msgspec

from ...schema import errors
from ...schema.cores import core_count
from ...schema.errors import ConversionStopped, UsageError
from ...schema.jsonl import read_lines
from ...schema.layout import IMAGES, QUARANTINE, Manifest, Quarantined, read_manifest
from ...schema.progress import Progress, silent
from ...schema.wording import counted
from ...storage import Folder, is_remote, open_folder
from ..base import Converter
from ..images import ImageSettings
from ..input.resolve import resolve_input
from ..registry import ConverterSpec
from ..splits import parse_ratios
from .assemble import assemble
from .failures import source_errors, stop_on_outage
from .header import header_of
from .journal import Journal
from .local import LocalExecutor
from .messages import PLANNED, Done, Failed, Halted, Job, Work, decode_outcome
from .plan import Plan, Selection, make_plan
from .pool import WorkerPool
from .resume import check_ours, reopen_changed, resume
from .state import STAGING, state_of

ITEM_TIMEOUT = 600.0  # seconds
# So many items failing one after the other are no accident of the data.
FAILURES_IN_A_ROW = 50
_FIRST_FAILURE = "stopped at the first failure (--on-error fail)"


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """What is to be converted, and how."""

    source: str  # its name, or `path/to/file.py:Class`
    out: str  # the dataset folder, a local path or an fsspec address
    input: str | None = None  # a folder or an archive, local or an fsspec address; None for the source's public copy
    options: dict[str, Any] = field(default_factory=dict)  # the source's, by name, as plain values
    images: ImageSettings = field(default_factory=ImageSettings)
    escape_tokens: bool = False  # write special tokens in texts as plain text; else they quarantine their item
    shard_size: int | None = None  # bytes of a WebDataset shard at most; None for no shards
    image_files: bool = True  # keep the images as files, too; without, they are in the shards alone
    selection: Selection = field(default_factory=Selection)
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None  # None for one a core
    item_timeout: float = ITEM_TIMEOUT  # after so many seconds a worker is ended over its item, which is quarantined
    follow_links: bool = True  # links in the input folder may lead out of it
    on_error: Literal["quarantine", "fail"] = "quarantine"  # an item that fails; or stop at the first
    restart: bool = False  # throw away what is in `out` (it must be a dataset, finished or not)
    retry_quarantined: bool = False  # try the quarantined items of an earlier run again

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
    """What came of a conversion."""

    out: str
    manifest: Manifest
    already_complete: bool = False  # nothing was left to do
    empty_splits: tuple[str, ...] = ()  # those without a record that were asked for, each with why and what to do


@stop_on_outage()
def convert(
    request: ConvertRequest, progress: Progress = silent, log: Callable[[str], object] = lambda line: None
) -> Summary:
    """Convert a source into a dataset folder; resume where an earlier run of the same kind stopped.

    `progress` shows how far it is, `log` takes lines for people about the run as a whole.

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
    header = header_of(unbound, request.engine_options())
    images = IMAGES if request.image_files else STAGING
    with state_of(out, images) as state, TemporaryFile(prefix="phi3v-data-plan-") as spooled:
        spec = _resolved(request, unbound, state.work)
        plan = make_plan(spec.build(), request.selection, spooled, progress)
        given = _identity(request.input, Path(spec.input), state.work)
        header = msgspec.structs.replace(header, input=given, plan=plan.digest)
        if not resume(state, plan, header, log, request.restart, request.retry_quarantined):
            state.sweep()
            return Summary(request.out, read_manifest(out), already_complete=True)
        journal = state.open_journal(len(plan), header)
        if request.retry_quarantined:
            journal.reopen_failed()
        reopen_changed(state, journal, len(plan))
        job = Job(spec, _absolute(request.out), images, request.images, request.escape_tokens)
        _convert_items(request, plan, journal, job, progress, log)
        state.check_kept()
        manifest = assemble(out, images, plan, journal, header, request.shard_size, progress)
        state.finish()
    _check_not_empty(out, manifest)
    return Summary(request.out, manifest, empty_splits=tuple(_empty_splits(unbound, request.selection, manifest)))


def _check_apart(given: str | None, out: Folder) -> None:
    """Make sure that the dataset does not lie in the raw data, where the next run would find it."""
    if given is None or is_remote(given) != is_remote(out.address):
        return
    inside, around = (
        (address if is_remote(address) else Path(_absolute(address)).resolve().as_posix()).rstrip("/")
        for address in (out.address, given)
    )
    if inside != around and inside.startswith(f"{around}/"):
        raise UsageError(
            f"{out.address}: lies in the input {given}, and would be raw data itself; choose another --out"
        )


def _resolved(request: ConvertRequest, unbound: Converter, work: Path) -> ConverterSpec:
    with source_errors(unbound.name, "fetched its input"):
        address = resolve_input(unbound, request.input, work, follow_links=request.follow_links)
    file, colon, name = request.source.rpartition(":")
    source = f"{Path(file).absolute()}:{name}" if colon else request.source
    return ConverterSpec(source=source, input=address, options=request.options)


def _identity(given: str | None, folder: Path, work: Path) -> str:
    """Name the input so that another one is told apart, also when an archive was replaced by another."""
    if given is None:
        return "the public copy"
    return f"{_absolute(given)} ({folder.name})" if folder.parent == work else _absolute(given)


def _absolute(address: str) -> str:
    # Workers may run in another folder.
    return address if is_remote(address) else str(Path(address.removeprefix("file://")).absolute())


def _convert_items(
    request: ConvertRequest, plan: Plan, journal: Journal, job: Job, progress: Progress, log: Callable[[str], object]
) -> None:
    """Have workers convert every item that the journal does not settle, and note it there; see `convert`."""
    done, failed = journal.count()
    settled, quarantined = done + failed + plan.failed, failed + plan.failed
    total = sum(split.discovered - split.skipped for split in plan.splits.values())
    failing: set[int | str] = set()  # in a row; those that share an image count once

    def show() -> None:
        progress("Converting", f"items, {quarantined:,} quarantined" if quarantined else "items", settled, total)

    if plan.first_failed is not None and request.on_error == "fail":
        raise ConversionStopped(f"{_FIRST_FAILURE}: {plan.first_failed}")
    if journal.damaged:
        log(f"damaged lines in the journal: {journal.damaged}; their items are converted again")
    if done or failed:
        log(f"resuming: {settled:,} of {counted(total, 'item')} settled")
    if settled == total:
        return
    works = (
        Work(index, planned.item)
        for index, planned in enumerate(plan)
        if not planned.skipped and planned.failure is None and not journal.is_settled(index)
    )
    with _executor(request, job, total - settled, log) as workers:
        show()
        for encoded in workers.run(works):
            outcome = decode_outcome(encoded)
            if isinstance(outcome, Halted):
                raise ConversionStopped(f"{outcome.message}; fix it and rerun: progress is kept")
            if isinstance(outcome, Done):
                failing.clear()
            else:
                if request.on_error == "fail":
                    raise ConversionStopped(f"{_FIRST_FAILURE}: {outcome}")
                failing.add(outcome.shared or outcome.index)
                quarantined += 1
            journal.append(encoded, outcome)
            settled += 1
            if isinstance(outcome, Failed) and len(failing) >= FAILURES_IN_A_ROW:
                raise ConversionStopped(
                    f"{FAILURES_IN_A_ROW} items in a row failed, the last: {outcome}; fix it and rerun with "
                    "--retry-quarantined: progress is kept"
                )
            show()


def _executor(request: ConvertRequest, job: Job, items: int, log: Callable[[str], object]) -> WorkerPool:
    if request.engine == "ray":
        from .cluster import RayExecutor

        return RayExecutor(job, items, request.workers, request.item_timeout, log)
    return LocalExecutor(job, min(items, request.workers or core_count()), request.item_timeout, log)


def _check_not_empty(out: Folder, manifest: Manifest) -> None:
    quarantined = sum(row.quarantined for row in manifest.splits)
    if not quarantined or any(row.written for row in manifest.splits):
        return
    first = msgspec.json.decode(next(read_lines(out, QUARANTINE)).data, type=Quarantined)
    # Of an error that is not this package's own, the type says as much as the text.
    kind = "" if first.stage in PLANNED or hasattr(errors, first.exception) else f"{first.exception}: "
    raise ConversionStopped(
        f"{out.address}: nothing could be converted ({counted(quarantined, 'item')} in {QUARANTINE} there); the first, "
        f"{first.path}: {kind}{first.message}; fix the raw data or the options and rerun"
    )


def _empty_splits(converter: Converter, selection: Selection, manifest: Manifest) -> Iterator[str]:
    """Describe each split that was asked for and holds no record: no item fell into it, or all were quarantined."""
    found = {row.split for row in manifest.splits}
    ratio = getattr(converter, "split_ratio", "")
    total = counted(sum(row.discovered for row in manifest.splits), "item")
    for split, _ in parse_ratios(ratio).shares if ratio else ():
        if split not in found and (selection.splits is None or split in selection.splits):
            yield (
                f"split {split} is empty: none of {total} fell into it; give it a larger share with --split-ratio"
                f"{', or --stratify' if hasattr(converter, 'stratify') else ''}, or add samples"
            )
    for row in manifest.splits:
        if row.quarantined and not row.written:
            yield f"split {row.split} is empty: {counted(row.quarantined, 'item')} quarantined, none converted"
