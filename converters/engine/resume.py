"""Where a run resumes, by what it finds in its folder: nothing, an unfinished run, or a finished dataset."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from ...schema.errors import DatasetError, OutputError, UsageError
from ...schema.layout import MANIFEST, Manifest, read_manifest
from ...schema.record import decode_record
from ...storage import Folder
from .finished import missing_files, outcomes
from .image_files import ImageSizes
from .journal import Journal, journal_lines, read_journal
from .messages import Done
from .plan import Plan
from .settings import RunHeader, Settings
from .state import HEADER, Phase, State, read_header

__all__ = ["ResumePoint", "Target", "check_ours", "find_resume_point", "prepare", "reopen_changed"]


class ResumePoint(enum.Enum):
    """Where a run resumes.

    START: from nothing; what is there holds no record, or is to be thrown away.
    CLEAR: a run was killed while it removed an earlier dataset; the rest is removed, then all is converted.
    JOURNAL: an unfinished run; what its journal settles is done.
    RECORDS: a finished dataset whose quarantined items are retried, or that lacks files; what has a record is done.
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


def find_resume_point(target: Target, state: State, log: Callable[[str], object]) -> ResumePoint:
    """Decide where a run resumes; nothing is changed.

    What was made otherwise is protected only where it holds a record: after a run that converted nothing, the corrected
    command runs. A finished dataset is complete only if its files are there.

    Args:
        target: what the run is asked to produce.
        state: of the dataset folder.
        log: takes a line for people.

    Raises:
        UsageError: what is there was made from something else, or otherwise.
        DatasetError: what is there is damaged.
    """
    phase = state.phase()
    if target.restart or phase is Phase.EMPTY:
        return ResumePoint.START
    if phase is Phase.FINISHED:
        return _in_finished(target, state.out, log)
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


def _in_finished(target: Target, out: Folder, log: Callable[[str], object]) -> ResumePoint:
    manifest = read_manifest(out)
    if not any(row.written for row in manifest.splits):
        return ResumePoint.START
    differences = _since(manifest, target.header, manifest.decoders)
    if differences:
        raise _made_otherwise(out, "a finished dataset", differences)
    missing = missing_files(out, manifest, target.images)
    if not missing and not (target.retry and any(row.quarantined for row in manifest.splits)):
        return ResumePoint.COMPLETE
    # Newer libraries matter only where more images are to be made.
    differences = _since(manifest, target.header, target.header.settings.decoders)
    if differences:
        raise _made_otherwise(out, f"a finished dataset{' with files missing' if missing else ''}", differences)
    if missing:
        log(f"missing from the finished dataset: {missing}; what is missing is converted again")
    return ResumePoint.RECORDS


def _since(manifest: Manifest, header: RunHeader, decoders: dict[str, str]) -> list[str]:
    """List what differs from what made a finished dataset; `decoders` are the versions that count as today's."""
    now = msgspec.structs.replace(header, settings=msgspec.structs.replace(header.settings, decoders=decoders))
    made = Settings(source=manifest.source, options=manifest.options, decoders=manifest.decoders)
    return now.differences(RunHeader(settings=made, input=header.input, plan=manifest.plan_digest))


def _made_otherwise(out: Folder, what: str, differences: list[str]) -> UsageError:
    return UsageError(
        f"{out.address}: holds {what} made otherwise ({'; '.join(differences)}); choose another --out, or --restart to "
        "throw it away"
    )


def prepare(point: ResumePoint, target: Target, state: State, plan: Plan) -> None:
    """Bring a dataset folder to where work can begin.

    Raises:
        DatasetError: a JSONL file of a finished dataset was changed.
    """
    if point is ResumePoint.START:
        stale = sorted(set(_stale_records(target, state.out)))
        state.start(msgspec.structs.replace(target.header, stale=stale))
    elif point is ResumePoint.CLEAR:
        state.clear(read_header(state.out) or target.header)
    elif point is ResumePoint.RECORDS:
        state.start_from_records(
            target.header, journal_lines(outcomes(state.out, target.images, plan, retry=target.retry))
        )


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
