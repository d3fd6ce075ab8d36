"""One conversion from start to end: plan, workers, journal, assembly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ...schema.errors import ConversionStopped
from ...schema.folder import Folder, open_folder
from ...schema.layout import IMAGES, Manifest
from ..registry import ConverterSpec
from .assemble import assemble
from .journal import Journal
from .local import LocalExecutor
from .messages import Failed, Failure, Halted, Job, Work, decode_outcome
from .plan import Plan, Selection, make_plan
from .progress import Progress, Silent
from .resume import Wish, check_ours, prepare
from .settings import settings_of
from .state import Header, open_state

__all__ = ["FAILURES_IN_A_ROW", "ConvertRequest", "Summary", "convert"]

# So many items failing one after the other are no accident of the data.
FAILURES_IN_A_ROW = 50


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """What is to be converted, and how.

    Args:
        spec: the source, the address of its raw data, its options.
        out: the dataset folder, a local path or an fsspec address.
        quality: of JPEG pictures, 1 to 100.
        selection: the splits and the number of items asked for.
        workers: processes; None for one a core.
        on_error: quarantine an item that fails, or stop at the first.
        restart: throw away what is in `out` (it must be a dataset or an unfinished conversion).
        retry_quarantined: try the quarantined items of an earlier run again.
    """

    spec: ConverterSpec
    out: str
    quality: int
    selection: Selection = field(default_factory=Selection)
    workers: int | None = None
    on_error: Literal["quarantine", "fail"] = "quarantine"
    restart: bool = False
    retry_quarantined: bool = False

    def engine_options(self) -> dict[str, Any]:
        """Collect the engine's options that shape the output."""
        return {
            "quality": self.quality,
            "splits": sorted(self.selection.splits) if self.selection.splits is not None else None,
            "limit": self.selection.limit,
        }


@dataclass(frozen=True)
class Summary:
    """What came of a conversion.

    Args:
        out: the dataset folder.
        manifest: what is in it.
        already_complete: nothing was left to do.
    """

    out: str
    manifest: Manifest
    already_complete: bool = False


def convert(request: ConvertRequest, progress: Progress | None = None) -> Summary:
    """Convert a source into a dataset folder; go on where an earlier run of the same kind stopped.

    Raises:
        UsageError: the options cannot work, or differ from those that made what is in `out`.
        InputError: the raw data is not what the source expects.
        OutputError: `out` cannot be written, holds something else, or another run is at work there.
        ConversionStopped: the machine failed, or too many items did; all that was done is kept.
    """
    progress = progress or Silent()
    out = open_folder(request.out)
    check_ours(out)
    converter = request.spec.build()
    settings = settings_of(converter, request.engine_options())
    with open_state(out) as state:
        plan = make_plan(converter, request.selection)
        header = Header(settings=settings, input=request.spec.input, plan=plan.digest)
        finished = prepare(Wish(header, request.restart, request.retry_quarantined), state, plan)
        if finished is not None:
            state.sweep()
            return Summary(request.out, finished, already_complete=True)
        journal = state.journal(len(plan))
        if request.retry_quarantined:
            journal.reopen_failed()
        _Driver(request, out, plan, journal, progress).run()
        state.flush()
        manifest = assemble(out, plan, journal, settings)
        state.finish()
    return Summary(request.out, manifest)


class _Driver:
    """Hands the plan to an executor and notes what comes back."""

    def __init__(self, request: ConvertRequest, out: Folder, plan: Plan, journal: Journal, progress: Progress) -> None:
        self._request = request
        self._out = out
        self._plan = plan
        self._journal = journal
        self._progress = progress
        self._failures_in_a_row = 0

    def run(self) -> None:
        asked = sum(split.discovered - split.skipped for split in self._plan.splits.values())
        done, failed = self._journal.count()
        refused = self._refuse_planned()
        if done or failed:
            self._progress.say(f"going on where the last run stopped: {done + failed} of {asked} items are done")
        if done + failed + refused == asked:
            return
        request = self._request
        job = Job(spec=request.spec, out=request.out, pictures=IMAGES, quality=request.quality)
        workers = min(request.workers or _cores(), asked - done - failed - refused)
        with (
            self._progress.work(asked, done + failed + refused, failed + refused),
            LocalExecutor(job, workers) as executor,
        ):
            for line in executor.run(self._open()):
                self._note(line)

    def _refuse_planned(self) -> int:
        """Count the items that failed before any work; each is a failure like any other."""
        count = 0
        for planned in self._plan:
            if planned.failure is not None:
                self._stop_if_asked(planned.item.path, planned.failure)
                count += 1
        return count

    def _open(self) -> Iterator[Work]:
        for index, planned in enumerate(self._plan):
            if not planned.skipped and planned.failure is None and not self._journal.settled(index):
                yield Work(index, planned.item)

    def _note(self, line: bytes) -> None:
        outcome = decode_outcome(line)
        if isinstance(outcome, Halted):
            raise ConversionStopped(
                f"stopped: {outcome.message}; all that was done is kept, run the same command again"
            )
        if isinstance(outcome, Failed):
            self._stop_if_asked(outcome.path, outcome.failure)
        self._journal.append(line, outcome)
        self._progress.advance(quarantined=isinstance(outcome, Failed))
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, Failed) else 0
        if isinstance(outcome, Failed) and self._failures_in_a_row >= FAILURES_IN_A_ROW:
            raise ConversionStopped(
                f"{FAILURES_IN_A_ROW} items in a row failed, the last: {_told(outcome.path, outcome.failure)}; what was "
                "done is kept: if the cause is mended, run the same command with --retry-quarantined"
            )

    def _stop_if_asked(self, path: str, failure: Failure) -> None:
        if self._request.on_error == "fail":
            raise ConversionStopped(f"stopped at the first failure, as --on-error fail asks: {_told(path, failure)}")


def _told(path: str, failure: Failure) -> str:
    return f"{path} ({failure.stage}: {failure.exception}: {failure.message})"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
