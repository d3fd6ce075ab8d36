"""Where a run resumes, by what it finds in its folder: nothing, an unfinished run, or a finished dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from ...schema.errors import DatasetError, OutputError, UsageError
from ...schema.jsonl import read_lines
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, Manifest, Quarantined, read_manifest
from ...schema.record import decode_record
from ...schema.shard_index import read_whole_index
from ...schema.shards import Shard
from ...schema.wording import counted
from ...storage import Folder
from .header import RunHeader
from .image_files import ImageSizes
from .journal import Journal, journal_lines, read_journal
from .messages import PLANNED, Done, Failed, Failure, encode
from .plan import Plan
from .state import HEADER, Phase, State, read_header

Kept = TypeVar("Kept")


def check_ours(out: Folder) -> None:
    """Make sure that a folder is missing, empty or a dataset, finished or not; OutputError where it is not."""
    try:
        entries = out.list()
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise OutputError(f"{out.address}: is or lies below a file; --out needs a folder") from None
    except PermissionError:
        raise OutputError(f"{out.address}: permission denied; choose another --out") from None
    if entries and not out.exists(MANIFEST) and not out.exists(HEADER):
        raise OutputError(
            f"{out.address}: holds {entries[0].name!r} and no {MANIFEST}, so it is not a dataset; choose an empty --out"
        )


def resume(
    state: State, plan: Plan, header: RunHeader, log: Callable[[str], object], restart: bool, retry: bool
) -> bool:
    """Bring a dataset folder to where work can begin: its start, an unfinished run, or what a finished dataset lacks.

    What was made otherwise is protected only where it holds a record: after a run that converted nothing, the corrected
    command runs. A finished dataset is complete only if its files are there. `restart` throws away what is there,
    `retry` tries again what was quarantined.

    Returns:
        Whether anything is left to do.

    Raises:
        UsageError: what is there was made from something else, or otherwise.
        DatasetError: what is there is damaged, or a JSONL file of a finished dataset was changed.
    """
    out, phase = state.out, state.phase()
    if not restart and phase is Phase.FINISHED:
        manifest = read_manifest(out)
        if any(row.written for row in manifest.splits):
            return _resume_finished(state, manifest, plan, header, log, retry)
    elif not restart and phase is not Phase.EMPTY:
        earlier = read_header(out) or header
        differences = header.differences(earlier)
        if not differences:
            if phase is Phase.CLEARING:
                state.clear(earlier)
            return True
        settled = read_journal(state.journal_lines()) if phase is Phase.CONVERTING else ()
        if any(isinstance(outcome, Done) for _, outcome in settled):
            raise _made_otherwise(out, "an unfinished conversion", differences)
    state.start(replace(header, stale=sorted(set(_stale_records(out, header)))))
    return True


def _resume_finished(
    state: State, manifest: Manifest, plan: Plan, header: RunHeader, log: Callable[[str], object], retry: bool
) -> bool:
    out, source, options, decoders = state.out, manifest.source, manifest.options, manifest.decoders
    made = replace(header, source=source, options=options, decoders=decoders, plan=manifest.plan_digest)
    # Newer libraries matter only where more images are to be made.
    if differences := replace(header, decoders=decoders).differences(made):
        raise _made_otherwise(out, "a finished dataset", differences)
    missing = missing_files(out, manifest, state.images)
    if not missing and not (retry and any(row.quarantined for row in manifest.splits)):
        return False
    if differences := header.differences(made):
        raise _made_otherwise(out, f"a finished dataset{' with files missing' if missing else ''}", differences)
    if missing:
        log(f"missing from the finished dataset: {missing}; what is missing is converted again")
    state.start_from_records(header, journal_lines(_outcomes(out, manifest, state.images, plan, retry)))
    return True


def _made_otherwise(out: Folder, what: str, differences: list[str]) -> UsageError:
    return UsageError(
        f"{out.address}: holds {what} made otherwise ({'; '.join(differences)}); choose another --out, or --restart to "
        "throw it away"
    )


def _stale_records(out: Folder, header: RunHeader) -> Iterator[str]:
    """Name the record files of earlier conversions in a folder, whichever source they were of."""
    sources = {header.source}
    # A header or manifest that is missing or damaged is removed in any case.
    with contextlib.suppress(DatasetError):
        if earlier := read_header(out):
            yield from earlier.stale
            sources.add(earlier.source)
    with contextlib.suppress(DatasetError):
        sources.add(read_manifest(out).source)
    with contextlib.suppress(FileNotFoundError):  # an object store has no empty folders
        for entry in out.list():
            if entry.name.endswith(".jsonl") and entry.name.startswith(tuple(f"{source}_" for source in sources)):
                yield entry.name


def missing_files(out: Folder, manifest: Manifest, images: str) -> str:
    """Describe in a few words what a finished dataset lacks, "" if nothing; DatasetError if a JSONL file was changed.

    The JSONL files must be those of the manifest; every image that they name must be there and not empty, or, where
    images go to another folder than `images/` and stay in shards alone, every shard, as long as its index says. What an
    image holds is not looked at.
    """
    lacking = [row.file for row in manifest.splits if not out.exists(row.file)]
    for row in manifest.splits:
        if row.file not in lacking and out.sha256(row.file) != row.sha256:
            raise DatasetError(
                f"{out.address}/{row.file}: not as {MANIFEST} says; put it back, keep it with `phi3v-data validate "
                f"{out.address} --adopt`, or --restart to convert all again"
            )
    if lacking:
        return lacking[0]
    whole = set(_whole_shards(out, manifest))
    if lacking := [shard for row in manifest.splits for shard in row.shards if shard not in whole]:
        return f"{counted(len(lacking), 'shard')}, the first {lacking[0]}"
    if images != IMAGES:
        return ""
    sizes, lost, first = ImageSizes(out, IMAGES), 0, ""
    for line in (line for row in manifest.splits for line in read_lines(out, row.file)):
        record = decode_record(line.data)
        for name, size in zip(record.images(), sizes.of(record), strict=True):
            if not size:
                lost, first = lost + 1, first or name
    return f"{counted(lost, 'image')}, the first {IMAGES}/{first}" if lost else ""


def _whole_shards(out: Folder, manifest: Manifest) -> Iterator[str]:
    for shard in (shard for row in manifest.splits for shard in row.shards):
        with contextlib.suppress(DatasetError):
            read_whole_index(out, shard)
            yield shard


def _outcomes(out: Folder, manifest: Manifest, images: str, plan: Plan, retry: bool) -> Iterator[bytes]:
    """Yield an outcome for each item of a finished dataset that is settled: all but those whose files are missing.

    Records and quarantined items lie in the plan's order, so one pass over each file is enough. Images that lie in
    shards alone are put back where they can be packed again.
    """
    for name in _whole_shards(out, manifest) if images != IMAGES else ():
        with Shard(out, name) as shard:
            for sample in shard:
                for path, data in zip(decode_record(sample.record).images(), sample.images, strict=True):
                    out.write(f"{images}/{path}", data)
    take_record = {row.split: _taker(_records(out, row.file)) for row in manifest.splits}
    take_quarantined = _taker(iter(()) if retry else _quarantined(out))
    sizes = ImageSizes(out, images)
    for index, planned in enumerate(plan):
        item = planned.item
        if planned.skipped or planned.failure is not None or item.split not in take_record:
            continue
        if (record := take_record[item.split](item.id)) is not None:
            found = sizes.of(decode_record(record))
            if all(found):  # an image that was removed since is made again
                yield encode(Done(index, msgspec.Raw(record), found))
        elif (line := take_quarantined(item.id)) is not None:
            yield encode(Failed(index, item.path, Failure(line.stage, line.exception, line.message), item.shared))


def _taker(kept: Iterator[tuple[str, Kept]]) -> Callable[[str], Kept | None]:
    """Return what gives what was kept of an item, by its id, where that is the next one, and None where it is not."""
    head = next(kept, None)

    def take(identity: str) -> Kept | None:
        nonlocal head
        if head is None or head[0] != identity:
            return None
        found, head = head[1], next(kept, None)
        return found

    return take


def _records(out: Folder, name: str) -> Iterator[tuple[str, bytes]]:
    if out.exists(name):
        for line in read_lines(out, name):
            yield decode_record(line.data).id, line.data


def _quarantined(out: Folder) -> Iterator[tuple[str, Quarantined]]:
    """Yield what failed in conversion; the plan itself knows of the other lines. A damaged file is done again."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        for line in read_lines(out, QUARANTINE) if out.exists(QUARANTINE) else ():
            found = msgspec.json.decode(line.data, type=Quarantined)
            if found.stage not in PLANNED:
                yield found.id, found


def reopen_changed(state: State, journal: Journal, items: int) -> None:
    """Have the items done again whose images are not there with their size, after a loss of power or by people."""
    sizes = ImageSizes(state.out, state.images)
    for index in range(items):
        outcome = journal.outcome(index)
        if isinstance(outcome, Done) and sizes.of(decode_record(bytes(outcome.record))) != outcome.sizes:
            journal.reopen(index)
