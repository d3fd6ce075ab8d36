"""Where a run resumes, by what it finds in its folder: nothing, an unfinished run, or a finished dataset."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from ...schema.errors import DatasetError, OutputError, UsageError
from ...schema.jsonl import Line, read_lines
from ...schema.layout import IMAGES, MANIFEST, Manifest, read_manifest
from ...schema.record import decode_record
from ...storage import Folder
from .image_files import ImageSizes
from .journal import Journal, journal_lines, read_journal
from .messages import Done, encode
from .pack import unpack
from .plan import Plan
from .settings import RunHeader, Settings
from .state import HEADER, Phase, State, read_header

__all__ = ["ResumePoint", "Target", "check_ours", "find_resume_point", "prepare", "reopen_changed"]


class ResumePoint(enum.Enum):
    """Where a run resumes.

    START: from nothing; what is there holds no record, or is to be thrown away.
    CLEAR: a run was killed while it removed an earlier dataset; the rest is removed, then all is converted.
    JOURNAL: an unfinished run; what its journal settles is done.
    RECORDS: a finished dataset whose quarantined items are retried; what has a record is done.
    COMPLETE: a finished dataset; nothing is left to do.
    """

    START = "start"
    CLEAR = "clear"
    JOURNAL = "journal"
    RECORDS = "records"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Target:
    """What a run is asked to produce, and how it may treat what is there.

    Args:
        header: what it makes of what.
        images: the folder in the dataset that images go to.
        restart: throw away what is there.
        retry: try again what was quarantined.
    """

    header: RunHeader
    images: str
    restart: bool
    retry: bool


def check_ours(out: Folder) -> None:
    """Make sure that a folder is missing, empty or a dataset, finished or not.

    Raises:
        OutputError: it is somebody else's, a file, or cannot be listed.
    """
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


def find_resume_point(target: Target, state: State) -> ResumePoint:
    """Decide where a run resumes; nothing is changed.

    What was made otherwise is protected only where it holds a record: after a run that converted nothing, the corrected
    command runs.

    Raises:
        UsageError: what is there was made from something else, or otherwise.
        DatasetError: what is there is damaged.
    """
    phase = state.phase()
    if target.restart or phase is Phase.EMPTY:
        return ResumePoint.START
    if phase is Phase.FINISHED:
        return _in_finished(target, state.out)
    earlier = read_header(state.out)
    differences = target.header.differences(earlier) if earlier is not None else []
    if phase is Phase.CLEARING:
        return ResumePoint.START if differences else ResumePoint.CLEAR
    if differences:
        settled = read_journal(line.rstrip(b"\n") for line in state.journal_lines())
        if any(isinstance(outcome, Done) for outcome in settled):
            raise _made_otherwise(state.out, "an unfinished conversion", differences)
        return ResumePoint.START
    return ResumePoint.JOURNAL


def _in_finished(target: Target, out: Folder) -> ResumePoint:
    manifest = read_manifest(out)
    if not any(row.written for row in manifest.splits):
        return ResumePoint.START
    # Newer libraries matter only where more images are to be made.
    decoders = manifest.decoders if target.retry else target.header.settings.decoders
    made = RunHeader(
        settings=Settings(source=manifest.source, options=manifest.options, decoders=decoders),
        input=target.header.input,
        plan=manifest.plan_digest,
    )
    differences = target.header.differences(made)
    if differences:
        raise _made_otherwise(out, "a finished dataset", differences)
    has_quarantined = any(row.quarantined for row in manifest.splits)
    return ResumePoint.RECORDS if target.retry and has_quarantined else ResumePoint.COMPLETE


def _made_otherwise(out: Folder, what: str, differences: list[str]) -> UsageError:
    return UsageError(
        f"{out.address}: holds {what} made otherwise ({'; '.join(differences)}); choose another --out, or --restart to "
        "throw it away"
    )


def prepare(point: ResumePoint, target: Target, state: State, plan: Plan) -> None:
    """Bring a dataset folder to where work can begin.

    Raises:
        DatasetError: the records of a finished dataset are not those its manifest tells of.
    """
    if point is ResumePoint.START:
        stale = sorted(set(_stale_records(target, state.out)))
        state.start(msgspec.structs.replace(target.header, stale=stale))
    elif point is ResumePoint.CLEAR:
        state.clear(read_header(state.out) or target.header)
    elif point is ResumePoint.RECORDS:
        state.start_from_records(target.header, journal_lines(_outcomes_of_records(target, state.out, plan)))


def _stale_records(target: Target, out: Folder) -> Iterator[str]:
    """Name the record files of earlier conversions in a folder, whichever source they were of."""
    sources = {target.header.settings.source}
    # A header or manifest that is missing or damaged is removed in any case.
    with contextlib.suppress(DatasetError):
        earlier = read_header(out)
        if earlier is not None:
            yield from earlier.stale
            sources.add(earlier.settings.source)
    with contextlib.suppress(DatasetError):
        sources.add(read_manifest(out).source)
    with contextlib.suppress(FileNotFoundError):  # an object store has no empty folders
        for entry in out.list():
            if entry.name.endswith(".jsonl") and any(entry.name.startswith(f"{source}_") for source in sources):
                yield entry.name


def _outcomes_of_records(target: Target, out: Folder, plan: Plan) -> Iterator[bytes]:
    """Yield an outcome for each record of a finished dataset, so that only its failures are left to do.

    Records lie in the plan's order, so one pass over each file is enough.
    """
    manifest = read_manifest(out)
    _check_unchanged(out, manifest)
    if target.images != IMAGES:
        unpack(out, [shard for row in manifest.splits for shard in row.shards], target.images)
    files = {row.split: read_lines(out, row.file) for row in manifest.splits}
    heads: dict[str, Line | None] = {split: next(lines, None) for split, lines in files.items()}
    sizes = ImageSizes(out, target.images)
    for index, planned in enumerate(plan):
        split = planned.item.split
        head = heads.get(split)
        if head is None or planned.skipped or planned.failure is not None:
            continue
        record = decode_record(head.data)
        if record.id != planned.item.id:
            continue
        heads[split] = next(files[split], None)
        with contextlib.suppress(FileNotFoundError):  # an image was removed since: the item is done again
            yield encode(Done(index, msgspec.Raw(head.data), sizes.of(record)))


def _check_unchanged(out: Folder, manifest: Manifest) -> None:
    for row in manifest.splits:
        if not out.exists(row.file) or out.sha256(row.file) != row.sha256:
            raise DatasetError(
                f"{out.address}/{row.file}: not as {MANIFEST} says, so nothing can be retried; put it "
                "back, or --restart to convert all again"
            )


def reopen_changed(out: Folder, images: str, journal: Journal) -> None:
    """Look for images that are not there with their size, and have their items done again.

    A kill cannot cause that, but a loss of power can, and so can people.

    Args:
        out: the dataset folder.
        images: the folder in it that images go to.
        journal: what was noted.
    """
    sizes = ImageSizes(out, images)
    for index in range(len(journal)):
        outcome = journal.outcome(index)
        if isinstance(outcome, Done) and not sizes.are(decode_record(bytes(outcome.record)), outcome.sizes):
            journal.reopen(index)
