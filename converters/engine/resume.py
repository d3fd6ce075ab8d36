"""Where a run resumes, by what it finds in its folder: nothing, an unfinished run, or a finished dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

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

__all__ = ["check_ours", "reopen_changed", "resume"]


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


def resume(
    state: State,
    plan: Plan,
    header: RunHeader,
    images: str,
    log: Callable[[str], object],
    *,
    restart: bool = False,
    retry: bool = False,
) -> bool:
    """Bring a dataset folder to where work can begin: its start, an unfinished run, or what a finished dataset lacks.

    What was made otherwise is protected only where it holds a record: after a run that converted nothing, the corrected
    command runs. A finished dataset is complete only if its files are there.

    Args:
        state: of the dataset folder.
        plan: every item.
        header: what the run makes of what.
        images: the folder in the dataset that images go to.
        log: takes a line for people.
        restart: throw away what is there.
        retry: try again what was quarantined.

    Returns:
        Whether anything is left to do.

    Raises:
        UsageError: what is there was made from something else, or otherwise.
        DatasetError: what is there is damaged, or a JSONL file of a finished dataset was changed.
    """
    phase = state.phase()
    if restart or phase is Phase.EMPTY:
        _start(state, header)
        return True
    if phase is Phase.FINISHED:
        return _resume_finished(state, plan, header, images, log, retry)
    earlier = read_header(state.out) or header
    differences = header.differences(earlier)
    if phase is Phase.CLEARING and not differences:
        state.clear(earlier)
    elif differences:
        if phase is Phase.CONVERTING and any(isinstance(found, Done) for found in read_journal(state.journal_lines())):
            raise _made_otherwise(state.out, "an unfinished conversion", differences)
        _start(state, header)
    return True


def _resume_finished(
    state: State, plan: Plan, header: RunHeader, images: str, log: Callable[[str], object], retry: bool
) -> bool:
    out, manifest = state.out, read_manifest(state.out)
    if not any(row.written for row in manifest.splits):
        _start(state, header)
        return True
    if differences := _since(manifest, header, manifest.decoders):
        raise _made_otherwise(out, "a finished dataset", differences)
    missing = missing_files(out, manifest, images)
    if not missing and not (retry and any(row.quarantined for row in manifest.splits)):
        return False
    # Newer libraries matter only where more images are to be made.
    if differences := _since(manifest, header, header.settings.decoders):
        raise _made_otherwise(out, f"a finished dataset{' with files missing' if missing else ''}", differences)
    if missing:
        log(f"missing from the finished dataset: {missing}; what is missing is converted again")
    state.start_from_records(header, journal_lines(outcomes(out, manifest, images, plan, retry=retry)))
    return True


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


def _start(state: State, header: RunHeader) -> None:
    stale = sorted(set(_stale_records(state.out, header)))
    state.start(msgspec.structs.replace(header, stale=stale))


def _stale_records(out: Folder, header: RunHeader) -> Iterator[str]:
    """Name the record files of earlier conversions in a folder, whichever source they were of."""
    sources = {header.settings.source}
    # A header or manifest that is missing or damaged is removed in any case.
    with contextlib.suppress(DatasetError):
        if earlier := read_header(out):
            yield from earlier.stale
            sources.add(earlier.settings.source)
    with contextlib.suppress(DatasetError):
        sources.add(read_manifest(out).source)
    with contextlib.suppress(FileNotFoundError):  # an object store has no empty folders
        for entry in out.list():
            if entry.name.endswith(".jsonl") and entry.name.startswith(tuple(f"{source}_" for source in sources)):
                yield entry.name


def reopen_changed(out: Folder, images: str, journal: Journal) -> None:
    """Have the items done again whose images are not there with their size in the folder `images`.

    A kill cannot cause that, but a loss of power can, and so can people.
    """
    sizes = ImageSizes(out, images)
    for index in range(len(journal)):
        outcome = journal.outcome(index)
        if isinstance(outcome, Done) and not sizes.are(decode_record(bytes(outcome.record)), outcome.sizes):
            journal.reopen(index)
