"""What a run finds in its folder, and how it goes on from there: nothing, an unfinished run, or a finished dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from ...schema.errors import DatasetError, OutputError, UsageError
from ...schema.jsonl import Line, read_lines
from ...schema.layout import IMAGES, MANIFEST, Manifest, read_manifest
from ...schema.record import Record, decode_record
from ...storage import Folder, LocalFolder
from .journal import Journal
from .messages import Done, encode
from .pack import unpack
from .plan import Plan
from .settings import Settings
from .state import Header, State, read_header, stale_records

__all__ = ["Wish", "check_ours", "prepare", "reopen_damaged"]


@dataclass(frozen=True)
class Wish:
    """What a run is to make, and how it may treat what is there.

    Args:
        header: what it is to make.
        restart: throw away what is there.
        retry: try again what was quarantined.
        images: the folder in the dataset that images go to.
    """

    header: Header
    images: str
    restart: bool
    retry: bool


def check_ours(out: Folder) -> None:
    """Make sure that a folder is missing, empty or a dataset, finished or not.

    Raises:
        OutputError: it is somebody else's.
    """
    try:
        entries = out.list()
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise OutputError(f"{out.address}: a file; --out needs a folder") from None
    except PermissionError:
        raise OutputError(f"{out.address}: permission denied; choose another --out") from None
    if entries and not out.exists(MANIFEST) and read_header(out) is None:
        raise OutputError(
            f"{out.address}: holds {entries[0].name!r} and no {MANIFEST}, so it is no dataset; choose an empty --out"
        )


def prepare(wish: Wish, state: State, plan: Plan) -> Manifest | None:
    """Bring a dataset folder to where work can begin.

    Returns:
        The manifest of the finished dataset, where no work is left; None otherwise.

    Raises:
        UsageError: what is there was made from something else, or otherwise.
    """
    if wish.restart:
        _begin_anew(wish, state)
        return None
    earlier = read_header(state.out)
    if earlier is not None:
        _refuse(state.out, "an unfinished conversion", wish.header.differences(earlier))
        if not state.cleared:
            state.clear(earlier)
        return None
    if not state.out.exists(MANIFEST):
        _begin_anew(wish, state)
        return None
    manifest = read_manifest(state.out)
    made = Header(settings=_settings(wish, manifest), input=wish.header.input, plan=manifest.plan_digest)
    _refuse(state.out, "a finished dataset", wish.header.differences(made))
    if wish.retry and any(row.quarantined for row in manifest.splits):
        state.begin(wish.header, noted=_noted(wish, state.out, plan, manifest))
        return None
    return manifest


def _begin_anew(wish: Wish, state: State) -> None:
    sources = {wish.header.settings.source}
    earlier = read_header(state.out)
    if earlier is not None:
        sources.add(earlier.settings.source)
    with contextlib.suppress(DatasetError):  # none there, or too damaged to say; it goes in any case
        sources.add(read_manifest(state.out).source)
    stale = {name for source in sources for name in stale_records(state.out, source)}
    if earlier is not None:
        stale.update(earlier.stale)
    state.begin(msgspec.structs.replace(wish.header, stale=sorted(stale)))


def _refuse(out: Folder, what: str, differences: list[str]) -> None:
    if differences:
        raise UsageError(
            f"{out.address}: holds {what} made otherwise ({'; '.join(differences)}); choose another --out, or "
            "--restart to throw it away"
        )


def _settings(wish: Wish, manifest: Manifest) -> Settings:
    # Newer libraries matter only where more images are to be made.
    decoders = manifest.decoders if wish.retry else wish.header.settings.decoders
    return Settings(source=manifest.source, options=manifest.options, decoders=decoders)


def _noted(wish: Wish, out: Folder, plan: Plan, manifest: Manifest) -> Iterator[bytes]:
    """Yield a journal line for each record of a finished dataset, so that only its failures are left to do.

    Records lie in the plan's order, so one pass over each file is enough.
    """
    if wish.images != IMAGES:
        unpack(out, [shard for row in manifest.splits for shard in row.shards], wish.images)
    files = {row.split: read_lines(out, row.file) for row in manifest.splits}
    heads: dict[str, Line | None] = {split: next(lines, None) for split, lines in files.items()}
    for index, planned in enumerate(plan):
        split = planned.item.split
        head = heads.get(split)
        if head is None or planned.skipped or planned.failure is not None:
            continue
        record = decode_record(head.data)
        if record.id == planned.item.id:
            yield encode(Done(index, msgspec.Raw(head.data), _sizes(out, wish.images, record))) + b"\n"
            heads[split] = next(files[split], None)


def _sizes(out: Folder, images: str, record: Record) -> list[int]:
    return [out.size(f"{images}/{name}") for name in record.images()] if isinstance(out, LocalFolder) else []


def reopen_damaged(out: Folder, images: str, journal: Journal) -> None:
    """Look for images that are not as they were written, and have their items done again.

    A kill cannot cause that, but a loss of power can, and so can people. On an object store nothing is looked at.

    Args:
        out: the dataset folder.
        images: the folder in it that images go to.
        journal: what was noted.
    """
    if not isinstance(out, LocalFolder):
        return
    for index in range(len(journal)):
        outcome = journal.outcome(index)
        if isinstance(outcome, Done) and not _intact(out, images, outcome):
            journal.reopen(index)


def _intact(out: Folder, images: str, done: Done) -> bool:
    try:
        return _sizes(out, images, decode_record(bytes(done.record))) == done.sizes
    except FileNotFoundError:
        return False
