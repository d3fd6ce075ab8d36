"""What a conversion under way keeps beside its output, in `<out>/.convert/`.

::

    run.json            the settings, the input and the plan's digest; while it is there, the dataset is not finished
    journal/000000.jsonl  what is settled; on an object store, more segments follow
    images/             with --no-images: the images on their way into the shards
    input-*/            the raw data, where it came as an archive
    lock                held while a run is at work (this machine's disks only)

A finished dataset has no such folder: its records and its quarantine.jsonl say all that the journal said, and a retry
makes the journal from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec
from msgspec import Meta

from ...schema.errors import DatasetError
from ...schema.layout import IMAGES, MANIFEST, QUARANTINE, SHARDS
from ...storage import PARTIAL, Folder
from . import faults
from .journal import Journal
from .messages import encode
from .settings import Settings

__all__ = ["SEGMENTS", "STAGING", "STATE", "Header", "State", "read_header", "segment_name", "stale_records"]

STATE = ".convert"
STAGING = f"{STATE}/{IMAGES}"
_HEADER = f"{STATE}/run.json"
SEGMENTS = f"{STATE}/journal"
_FORMAT = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what the run under way makes of what.

    Args:
        settings: what shapes the output.
        input: the raw data's address, as given.
        plan: the plan's digest.
        stale: record files of an earlier dataset here that are to be removed before the work begins; names only, for
            they are read again from a folder that anybody may have made.
    """

    settings: Settings
    input: str
    plan: str
    stale: list[Annotated[str, Meta(pattern=r"^[^/\\]+\.jsonl$")]] = []
    format: int = _FORMAT

    def differences(self, earlier: Header) -> list[str]:
        """Say what differs from what an earlier run made, one phrase a difference."""
        found = self.settings.differences(earlier.settings)
        if self.input != earlier.input:
            found.append(f"input {earlier.input} -> {self.input}")
        elif not found and self.plan != earlier.plan:
            found.append("the input no longer holds the same samples")
        return found


def read_header(out: Folder) -> Header | None:
    """Read what the unfinished run in a folder makes; None where there is none.

    Raises:
        DatasetError: the header is damaged, or of another version.
    """
    try:
        data = out.read(_HEADER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        header = msgspec.json.decode(data, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{out.address}/{_HEADER}: damaged ({error}); remove {STATE} there") from error
    if header.format != _FORMAT:
        raise DatasetError(
            f"{out.address}: an unfinished run of another version of phi3v-data; finish it with that one, or choose "
            "another --out"
        )
    return header


class State(ABC):
    """The state of a conversion in one dataset folder. A context manager: leaving it gives the folder free.

    Args:
        out: the dataset folder.
        work: a folder on this machine for what a run needs only while it lasts; it outlives a killed run.
    """

    def __init__(self, out: Folder, work: Path) -> None:
        self.out = out
        self.work = work

    @abstractmethod
    def __enter__(self) -> State: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def journal(self, items: int) -> Journal:
        """Open the journal for a plan of so many items."""

    def begin(self, header: Header, noted: Iterable[bytes] | None = None) -> None:
        """Make the folder that of a new run.

        Args:
            header: what it makes.
            noted: lines the journal starts with, for a run that goes on from a finished dataset; None removes all
                that an earlier dataset left.
        """
        if noted is not None:
            self._create_journal(noted)
        else:
            self.out.delete(SEGMENTS)
        with self.out.create(_HEADER) as stream:
            faults.write(stream, encode(header), "header-half-written")
        faults.point("header-written")
        if noted is None:
            self.clear(header)

    @property
    def cleared(self) -> bool:
        """Whether what an earlier dataset left is gone, so that work may begin."""
        return self.out.exists(f"{SEGMENTS}/{segment_name(0)}")

    def clear(self, header: Header) -> None:
        """Remove what an earlier dataset left; killed half-way, it is done again."""
        for name in (MANIFEST, QUARANTINE, *header.stale, SHARDS, IMAGES, STAGING, PARTIAL):
            self.out.delete(name)
        self._create_journal(())
        faults.point("journal-created")

    def _create_journal(self, noted: Iterable[bytes]) -> None:
        self.out.delete(SEGMENTS)
        with self.out.create(f"{SEGMENTS}/{segment_name(0)}") as stream:
            stream.writelines(noted)

    def finish(self) -> None:
        """Declare the dataset finished: the header goes first, the rest is debris."""
        self.out.delete(_HEADER)
        faults.point("state-half-removed")
        self.sweep()
        faults.point("state-removed")

    def sweep(self) -> None:
        """Remove what killed runs left of their state and of files half written."""
        self.out.delete(PARTIAL)
        self.out.delete(STATE)


def segment_name(number: int) -> str:
    """Name one part of the journal, counted from 0."""
    return f"{number:06d}.jsonl"


def stale_records(out: Folder, source: str) -> Iterator[str]:
    """Name the record files that an earlier conversion of a source left in a folder."""
    try:
        entries = out.list()
    except FileNotFoundError:  # an object store has no empty folders
        return
    for entry in entries:
        if entry.name.startswith(f"{source}_") and entry.name.endswith(".jsonl"):
            yield entry.name
